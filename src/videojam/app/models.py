"""The models of the page: their names, the examples of prompts that fit them, and what the page's fields begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from videojam.bench.make.suites import load_suite
from videojam.bench.presets import demo_sources
from videojam.errors import VideoJamError
from videojam.models.load import LoadedModel
from videojam.sampling.settings import OF_MOTION, SampleSettings, resolve

NUM_EXAMPLES = 6


@dataclass(frozen=True)
class NamedModel:
    """A loaded model and what the page calls it.

    Attributes:
        name: On the page.
        loaded: The model.
    """

    name: str
    loaded: LoadedModel

    def settings(self, asked: SampleSettings) -> SampleSettings:
        """Return what this model reads of the page's settings: a base reads nothing about motion."""
        if self.loaded.is_joint:
            return asked
        return SampleSettings(**{name: value for name, value in asked.given.items() if name not in OF_MOTION})


@dataclass(frozen=True)
class Defaults:
    """What the fields hold when the page opens.

    Attributes:
        w_text: w1.
        w_motion: w2; None where no model predicts motion.
        window: When motion guides, as `parse_window` reads it.
        num_steps: Sampling steps.
        num_frames: Frames of a clip.
        height: In px.
        width: In px.
    """

    w_text: float
    w_motion: float | None
    window: str
    num_steps: int
    num_frames: int
    height: int
    width: int


def parse_sources(words: Sequence[str]) -> dict[str, str]:
    """Return sources by name: of `NAME=MODEL` or `MODEL`, whose last part is then the name; the demo's if empty.

    Raises:
        VideoJamError: an empty name or source, or one name twice.
    """
    if not words:
        return demo_sources()
    sources: dict[str, str] = {}
    for word in words:
        name, equals, source = word.partition("=")
        if not equals:
            name, source = PurePath(word).name.rpartition(":")[2], word
        if not name.strip() or not source.strip():
            raise _unfit("MODEL or NAME=MODEL", repr(word), "Write the name and the model.")
        if name in sources:
            raise _unfit("a different name for each model", f"{name!r} twice", f"Name one: other={source}.")
        sources[name] = source
    return sources


def load_models(sources: dict[str, str], load: Callable[[str], LoadedModel]) -> list[NamedModel]:
    """Load every model before the page opens, so that a mistake is seen at once.

    Args:
        sources: By name.
        load: Loads one.

    Raises:
        VideoJamError: as `load_model`; an image-to-video model, as the page has no first frame.
    """
    models = [NamedModel(name, load(source)) for name, source in sources.items()]
    for model in models:
        if model.loaded.family.takes_image(model.loaded.pipeline):
            raise VideoJamError(
                expected="text-to-video models",
                found=f"{model.name}, which needs a first frame",
                where="videojam app",
                fix="Use `videojam generate --image` for it.",
            )
    return models


def defaults_of(models: Sequence[NamedModel]) -> Defaults:
    """Return the settings of the first joint model, or of the first one, as the folder and the pipeline have them."""
    first = next((model for model in models if model.loaded.is_joint), models[0])
    settings = resolve(first.loaded)
    guidance = settings.guidance
    window = str(guidance.window)
    return Defaults(
        w_text=guidance.w_text,
        w_motion=guidance.w_motion if first.loaded.is_joint else None,
        window="half" if window == "share:0-0.5" else window,
        num_steps=settings.num_steps,
        num_frames=settings.num_frames,
        height=settings.height,
        width=settings.width,
    )


def are_shipped(sources: dict[str, str]) -> bool:
    """Whether all models are the demo's, which know a small world of their own."""
    return set(sources.values()) <= set(demo_sources().values())


def examples_for(sources: dict[str, str]) -> list[str]:
    """Return prompts to begin with: those that the shipped models know, or the first of the suite of motion."""
    prompts = load_suite("world" if are_shipped(sources) else "motion-128").prompts
    return list(dict.fromkeys(prompt.text for prompt in prompts))[:NUM_EXAMPLES]


def _unfit(expected: str, found: str, fix: str) -> VideoJamError:
    return VideoJamError(expected=expected, found=found, where="the models of videojam app", fix=fix)
