"""One press of Generate: the same prompt and noise with each model in turn, with progress, and stopped when asked."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from videojam.app.clips import Clips
from videojam.app.models import NamedModel
from videojam.errors import VideoJamError
from videojam.motion import draw
from videojam.out_of_memory import memory_explained
from videojam.sampling.sample import SampleOutput, sample
from videojam.sampling.settings import SampleSettings, read_settings

MAX_PROMPT = 2000
"""Characters; text encoders read fewer."""
MAX_STEPS = 200
MAX_SEED = 2**31 - 1
KEYS = ("w_text", "w_motion", "window", "num_steps", "num_frames", "height", "width")
"""Settings that the page has fields for."""


class StoppedError(Exception):
    """The one who asked for the clips does not want them any more."""


@dataclass(frozen=True)
class Asked:
    """What the fields of the page say.

    Attributes:
        prompt: What the clip shows.
        seed: Of the noise, the same for every model.
        settings: The settings of the sample.
    """

    prompt: str
    seed: int
    settings: SampleSettings

    @property
    def fields(self) -> dict[str, Any]:
        """Values of the page's fields, to restore them."""
        given = self.settings.given
        window = given.get("window")
        words = {"window": None if window is None else str(window).replace("share:0-0.5", "half")}
        return {"prompt": self.prompt, "seed": self.seed, **{key: given.get(key) for key in KEYS}, **words}


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        model: Which is sampled.
        number: Its number, from 1.
        num_models: Of all.
        step: Steps done with it.
        num_steps: Steps of each.
        left_s: Time left for all, in s; None before the first step.
    """

    model: str
    number: int
    num_models: int
    step: int
    num_steps: int
    left_s: float | None

    @property
    def share(self) -> float:
        """Done, 0..1."""
        return (self.number - 1 + self.step / max(self.num_steps, 1)) / self.num_models

    def __str__(self) -> str:
        of = f", model {self.number} of {self.num_models}" if self.num_models > 1 else ""
        left = "" if self.left_s is None else f", about {duration(self.left_s)} left"
        return f"{self.model}: step {self.step} of {self.num_steps}{of}{left}"


@dataclass(frozen=True)
class MadeClip:
    """What one model made; it can be hashed, as Gradio's session state asks.

    Attributes:
        model: Its name.
        clip: Name of the clip's file.
        motion: Its predicted motion: how it is drawn, and the name of the file; empty for a base.
        explained: Name of the file in which what moves is lit; empty where there is none.
        note: What the one who looks at it must know, as a part of the prompt that was cut.
        fps: Frame rate.
        size: Frames, height and width in px.
    """

    model: str
    clip: str
    motion: tuple[tuple[str, str], ...]
    explained: str
    note: str
    fps: float
    size: tuple[int, int, int]

    @property
    def files(self) -> list[str]:
        """Names of all files."""
        return [self.clip, *(file for _, file in self.motion), *filter(None, [self.explained])]


@dataclass(frozen=True)
class Run:
    """The clips of one press of Generate.

    Attributes:
        asked: What the page's fields said.
        made: One for each model that has finished.
        words: The settings in words.
    """

    asked: Asked
    made: tuple[MadeClip, ...] = ()
    words: str = ""

    @property
    def files(self) -> list[str]:
        """Names of all files."""
        return [name for made in self.made for name in made.files]


def read_fields(prompt: Any, seed: Any, **values: Any) -> Asked:
    """Check what came from the page, which anyone can send anything to.

    Raises:
        VideoJamError: no prompt, one that is too long, a seed or a setting that doesn't fit.
    """
    if not isinstance(prompt, str) or not prompt.strip():
        raise _unfit("a prompt", "none", "Prompt", "Write what the clip shows, or choose an example.")
    if len(prompt) > MAX_PROMPT:
        raise _unfit(f"at most {MAX_PROMPT} characters", f"{len(prompt)}", "Prompt", "Shorten it.")
    number = _whole(seed)
    if number is None or not 0 <= number <= MAX_SEED:
        raise _unfit(f"a whole number from 0 to {MAX_SEED}", repr(seed)[:40], "Seed", "Correct the seed.")
    unknown = set(values) - set(KEYS)
    assert not unknown, unknown
    counts = {key: _count(values[key], key) for key in KEYS[3:] if values.get(key) is not None}
    settings = read_settings({**{key: values.get(key) for key in KEYS}, **counts}, "the fields of the page")
    if settings.num_steps is not None and settings.num_steps > MAX_STEPS:
        raise _unfit(f"at most {MAX_STEPS} steps", str(settings.num_steps), "Steps", "Take fewer steps.")
    return Asked(prompt.strip(), number, settings)


class Engine:
    """Samples with the page's models, for one press of Generate at a time.

    Args:
        models: In the order of the page.
        clips: Where their clips go.
        explain: Draws a clip of a prompt so that what moves is seen, for a world that hides it.
    """

    def __init__(
        self,
        models: Sequence[NamedModel],
        clips: Clips,
        explain: Callable[[Tensor, str], Tensor] | None = None,
    ) -> None:
        self.models, self.clips, self.explain = list(models), clips, explain
        self._turn = threading.Lock()

    def run(self, asked: Asked, hear: Callable[[Progress], None], stop: threading.Event) -> Iterator[Run]:
        """Yield the run after each model; what is made stays when a later model fails.

        Args:
            asked: What to make.
            hear: Called after each step.
            stop: Set by whoever wants no more of it.

        Raises:
            StoppedError: `stop` was set.
            VideoJamError: settings that don't fit a model; no memory, after which the next run has it all again.
        """
        run, clock = Run(asked), _Clock(len(self.models), stop, hear)
        for number, model in enumerate(self.models, start=1):
            with self._turn:  # a run that was stopped may still be in its last step
                output = self._sample(model, asked, clock.steps_of(model.name, number))
                run = Run(asked, (*run.made, self._written(model, asked, output)), words_of(asked, output))
                del output
            yield run

    def _sample(self, model: NamedModel, asked: Asked, on_step: Callable[[int, int], None]) -> SampleOutput:
        fix = (
            "Lower the frames, the width or the height; on a GPU, `videojam app --offload` needs less memory."
        )
        try:
            with memory_explained("this clip", fix):
                settings = model.settings(asked.settings)
                return sample(model.loaded, [asked.prompt], settings, seeds=asked.seed, on_step=on_step)
        except VideoJamError:
            gc.collect()  # what a failed run held
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            raise

    def _written(self, model: NamedModel, asked: Asked, output: SampleOutput) -> MadeClip:
        assert output.video is not None
        fps, frames = output.settings.fps, output.video[0]
        motion: dict[str, str] = {}
        if output.flow is not None and output.motion_video is not None and model.loaded.record is not None:
            code = model.loaded.record.motion
            motion["colours"] = self.clips.add(output.motion_video[0], fps)
            drawn = draw.lines(frames, output.flow[0], code)
            motion |= {how: self.clips.add(pictures, fps) for how, pictures in drawn.items()}
        explained = ""
        if self.explain is not None:
            with suppress(VideoJamError):  # a prompt or a size that this world does not know
                explained = self.clips.add(self.explain(frames, asked.prompt), fps)
        cut = "".join(f"The text encoder did not read the end: “{end}”." for end in output.cut.values())
        num_frames, _, height, width = frames.shape
        clip = self.clips.add(frames, fps)
        return MadeClip(
            model.name, clip, tuple(motion.items()), explained, cut, fps, (num_frames, height, width)
        )


class _Clock:
    """Turns steps into progress with the time left, and stops the sampling when asked."""

    def __init__(self, num_models: int, stop: threading.Event, hear: Callable[[Progress], None]) -> None:
        self._num_models, self._stop, self._hear = num_models, stop, hear

    def steps_of(self, name: str, number: int) -> Callable[[int, int], None]:
        """Return the listener of one model's steps."""
        start = time.monotonic()
        self._say(Progress(name, number, self._num_models, 0, 1, None))

        def on_step(step: int, num_steps: int) -> None:
            per_step = (time.monotonic() - start) / max(step, 1)
            steps_left = num_steps - step + (self._num_models - number) * num_steps
            self._say(Progress(name, number, self._num_models, step, num_steps, per_step * steps_left))

        return on_step

    def _say(self, progress: Progress) -> None:
        if self._stop.is_set():
            raise StoppedError
        self._hear(progress)


def words_of(asked: Asked, output: SampleOutput) -> str:
    """Return the settings of a run in one line."""
    settings, given = output.settings, asked.settings
    parts = [f"seed {asked.seed}", f"{settings.num_steps} steps", f"w1 {settings.guidance.w_text:g}"]
    if given.w_motion is not None:
        parts.append(f"w2 {given.w_motion:g}")
    if given.window is not None:
        parts.append(f"motion guides {asked.fields['window']}")
    parts.append(
        f"{settings.num_frames} frames of {settings.width}×{settings.height} px at {settings.fps:g} fps"
    )
    return ", ".join(parts)


def duration(seconds: float | int) -> str:
    """Return a time in words, as "2 min 5 s"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _whole(value: Any) -> int | None:
    """Return a whole number, also where JSON made a float of it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)


def _count(value: Any, key: str) -> int:
    number = _whole(value)
    if number is None or number < 1:
        raise _unfit("a whole number from 1 on", repr(value)[:40], key, "Correct the field.")
    return number


def _unfit(expected: str, found: str, where: str, fix: str) -> VideoJamError:
    return VideoJamError(expected=expected, found=found, where=where, fix=fix)
