"""What makes the clips of an arm: a joint or base model, any diffusers pipeline as it is, or the world itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from videojam import fingerprints
from videojam.bench.folder import Item
from videojam.bench.make.arms import TRUTH, ArmSpec
from videojam.bench.work import Work
from videojam.evaluation.world_judge import WORLD
from videojam.families import FAMILIES, Family
from videojam.models.check import check_pipeline
from videojam.models.load import LoadedModel, load_model, quiet_loading
from videojam.models.resolve import resolve as resolve_folder
from videojam.sampling.sample import sample
from videojam.sampling.settings import resolve
from videojam.tiny import assemble
from videojam.world import WORLD_VERSION, sample_clip
from videojam.world.clip import world_of_size


@dataclass(frozen=True)
class Source:
    """What an arm samples from, before it is loaded.

    Attributes:
        kind: videojam, stock or world.
        folder: Of the pipeline; None for the world, which is drawn and not sampled.
        fingerprint: Of its files.
    """

    kind: str
    folder: Path | None
    fingerprint: str


def find_source(spec: ArmSpec) -> Source:
    """Find what an arm samples from: configs are read and files hashed, but nothing is loaded.

    Raises:
        VideoJamError: no such folder or hub id, or no pipeline in it.
    """
    if spec.source == TRUTH:
        return Source("world", None, f"world version {WORLD_VERSION}")
    folder = _whole(resolve_folder(spec.source, spec.revision))
    kind = "stock" if spec.pipeline == "stock" or not _is_known(check_pipeline(folder)) else "videojam"
    return Source(kind, folder, fingerprints.of_model_folder(folder))


def _whole(folder: Path) -> Path:
    """Return a folder, or, where it holds only what differs from a `base/` beside it, the two put together."""
    is_part = (folder / "transformer").is_dir() and not (folder / "model_index.json").exists()
    has_base = (folder.parent / "base" / "model_index.json").is_file()
    return assemble(folder.parent, folder.name) if is_part and has_base else folder


@dataclass(frozen=True)
class Made:
    """One clip.

    Attributes:
        video: uint8 `[T, 3, H, W]`.
        motion: The predicted motion drawn as RGB, as the video; None for a model that predicts none.
    """

    video: Tensor
    motion: Tensor | None = None


@runtime_checkable
class Sampler(Protocol):
    """Makes clips of one arm, a batch at a time.

    Attributes:
        fps: Frame rate of the clips.
        noise: Words that are the same for samplers that draw the same noise from the same seed.
        facts: For the manifest; complete once a batch is made.
    """

    fps: float
    noise: str
    facts: dict[str, Any]

    def make(self, items: Sequence[Item]) -> list[Made]:
        """Make the clips of some items in one batch."""
        ...


def load_sampler(
    spec: ArmSpec, source: Source, work: Work, loaded: dict[str, LoadedModel] | None = None
) -> Sampler:
    """Load what an arm samples from.

    Args:
        spec: The arm.
        source: What it samples from.
        work: On which device, in which type.
        loaded: Holds the model that was loaded last, by fingerprint: arms that differ in guidance share it.

    Raises:
        VideoJamError: a folder that is no whole pipeline, or settings that don't fit it.
    """
    if source.folder is None:
        return TruthSampler(spec)
    quiet_loading()
    if source.kind == "stock":
        from videojam.bench.make.stock import StockSampler

        return StockSampler(spec, source.folder, work)
    loaded = {} if loaded is None else loaded
    if source.fingerprint not in loaded:
        loaded.clear()  # before the next one is loaded: two may not fit
        loaded[source.fingerprint] = load_model(
            source.folder, torch_dtype=work.dtype, device=work.device, offload=work.offload
        )
    return ModelSampler(spec, replace(loaded[source.fingerprint], source=spec.source))  # as the user named it


def _is_known(components: dict[str, str]) -> bool:
    known = [FAMILIES[name] for name in components.values() if name in FAMILIES]
    return bool(known) and isinstance(known[0], Family)


class ModelSampler:
    """A base or joint model of a known family, with this package's guidance."""

    def __init__(self, spec: ArmSpec, model: LoadedModel) -> None:
        self._settings, self._model = spec.settings, model
        resolved = resolve(model, spec.settings)
        self._shows_motion = not resolved.guidance.drop_motion
        self.fps = resolved.fps
        # A joint model draws its motion's noise from a generator of its own, so x's is the base's.
        self.noise = f"{type(model.family).__name__} latents of the seed"
        record = model.record
        self.facts: dict[str, Any] = {
            "guidance": resolved.guidance.model_dump(mode="json"),
            "is_joint": model.is_joint,
            "motion": record.motion.model_dump(mode="json") if record else None,
            "num_train_steps": record.num_train_steps if record else None,
        }

    def make(self, items: Sequence[Item]) -> list[Made]:
        """Sample a batch from each item's own noise."""
        output = sample(
            self._model,
            [item.prompt.text for item in items],
            self._settings,
            seeds=[item.noise_seed for item in items],
        )
        assert output.video is not None
        self.facts |= {"num_steps": len(output.trace.times), "window": str(output.window or "")}
        if output.cut:
            self.facts["cut"] = {**self.facts.get("cut", {}), **output.cut}
        # A motion half whose input is held at zero predicts nothing that is worth looking at.
        motions = output.motion_video if self._shows_motion else None
        return [Made(video, None if motions is None else motions[i]) for i, video in enumerate(output.video)]


class TruthSampler:
    """The world's own clips of the prompts: what a perfect model would make."""

    noise = "none"

    def __init__(self, spec: ArmSpec) -> None:
        asked, own = spec.settings, WORLD.file_size
        self._config = world_of_size(
            WORLD,
            num_frames=asked.num_frames or own["num_frames"],
            height=asked.height or own["height"],
            width=asked.width or own["width"],
            fps=asked.fps or own["fps"],
        )
        self.fps = self._config.fps
        self.facts: dict[str, Any] = {"world": self._config.model_dump(mode="json")}

    def make(self, items: Sequence[Item]) -> list[Made]:
        """Draw a clip of each item's caption from its seed."""
        return [
            Made(sample_clip(item.noise_seed, self._config, caption=item.prompt.text).video) for item in items
        ]
