"""What makes the clips of an arm: a joint or base model, any diffusers pipeline as it is, or the world itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from videojam.bench.folder import Item
from videojam.bench.make.arms import TRUTH, ArmSpec
from videojam.bench.make.sampler import Made, Sampler
from videojam.bench.make.stock import StockSampler
from videojam.bench.manifest import fingerprint
from videojam.errors import VideoJamError
from videojam.families import FAMILIES
from videojam.models.check import check_pipeline
from videojam.models.load import LoadedModel, load_model
from videojam.models.resolve import resolve
from videojam.sampling.sample import sample
from videojam.sampling.settings import default_guidance
from videojam.world import WORLD_VERSION, WorldConfig, sample_clip


@dataclass(frozen=True)
class Source:
    """What an arm samples from, before it is loaded.

    Attributes:
        kind: videojam, stock or world.
        folder: Of the pipeline; none for the world.
        fingerprint: Of its files.
    """

    kind: str
    folder: Path | None
    fingerprint: str


def find_source(spec: ArmSpec) -> Source:
    """Tell what an arm samples from, reading configs and hashing files but loading nothing.

    Raises:
        VideoJamError: no such folder or hub id, or no pipeline in it.
    """
    if spec.source == TRUTH:
        return Source("world", None, f"world version {WORLD_VERSION}")
    folder = resolve(spec.source, spec.revision)
    kind = "stock" if spec.pipeline == "stock" or not _is_known(check_pipeline(folder)) else "videojam"
    return Source(kind, folder, fingerprint(folder))


def load_sampler(
    spec: ArmSpec,
    source: Source,
    *,
    device: str = "cpu",
    dtype: Any = None,
    offload: bool = False,
    loaded: dict[str, LoadedModel] | None = None,
) -> Sampler:
    """Load what an arm samples from.

    Args:
        spec: The arm.
        source: What it samples from.
        device: Where to run.
        dtype: Type of the weights.
        offload: Keep components on the CPU while they don't run.
        loaded: Holds the model that was loaded last, by fingerprint: arms that differ in guidance share it.

    Raises:
        VideoJamError: a folder that is no whole pipeline, or settings that don't fit it.
    """
    if source.kind == "world":
        return TruthSampler(spec)
    if source.kind == "stock":
        assert source.folder is not None
        return StockSampler(spec, source.folder, device=device, dtype=dtype, offload=offload)
    loaded = {} if loaded is None else loaded
    if source.fingerprint not in loaded:
        loaded.clear()  # before the next one is loaded: two may not fit
        loaded[source.fingerprint] = load_model(
            spec.source, torch_dtype=dtype, device=device, offload=offload, revision=spec.revision
        )
    return ModelSampler(spec, loaded[source.fingerprint])


def _is_known(components: dict[str, str]) -> bool:
    known = [FAMILIES[name] for name in components.values() if name in FAMILIES]
    return bool(known) and known[0].is_trained


class ModelSampler:
    """A base or joint model of a known family, with this package's guidance."""

    def __init__(self, spec: ArmSpec, model: LoadedModel) -> None:
        self._spec, self._model = spec, model
        self._guidance = spec.guidance(default_guidance(model))
        self.fps = spec.fps or model.defaults.fps or model.family.fps
        # A joint model draws its motion's noise from a generator of its own, so x's is the base's.
        self.noise = f"{type(model.family).__name__} latents of the seed"
        record = model.record
        self.facts: dict[str, Any] = {
            "guidance": self._guidance.model_dump(mode="json"),
            "is_joint": model.is_joint,
            "motion_style": record.motion.style if record else None,
            "num_train_steps": record.num_train_steps if record else None,
        }

    def make(self, items: Sequence[Item]) -> list[Made]:
        """Sample a batch from each item's own noise."""
        spec = self._spec
        output = sample(
            self._model,
            [item.prompt.text for item in items],
            seeds=[item.noise_seed for item in items],
            guidance=self._guidance,
            num_steps=spec.steps,
            num_frames=spec.frames,
            height=spec.height,
            width=spec.width,
            negative_prompt=spec.negative_prompt,
            schedule=spec.schedule,
            shift=spec.shift,
        )
        assert output.video is not None
        self.facts |= {"num_steps": len(output.trace.times), "window": str(output.window or "")}
        # A motion half whose input is held at zero predicts nothing that is worth looking at.
        motions = None if self._guidance.drop_motion else output.motion_video
        return [Made(video, None if motions is None else motions[i]) for i, video in enumerate(output.video)]


class TruthSampler:
    """The world's own clips: what a perfect model would make."""

    def __init__(self, spec: ArmSpec) -> None:
        sizes = {"num_frames": spec.frames, "height": spec.height, "width": spec.width, "fps": spec.fps}
        self._name = spec.name
        self._config = WorldConfig(**{name: size for name, size in sizes.items() if size is not None})
        self.fps = self._config.fps
        self.noise = "none"
        self.facts: dict[str, Any] = {"world": self._config.model_dump(mode="json")}

    def make(self, items: Sequence[Item]) -> list[Made]:
        """Draw the scene of each item's seed."""
        return [Made(self._draw(item)) for item in items]

    def _draw(self, item: Item) -> Tensor:
        if item.prompt.seed is None:
            raise VideoJamError(
                expected="prompts with the seed of a scene",
                found=f"{item.prompt.id} without one",
                where=f"arm {self._name!r}",
                fix=f"Use {TRUTH} with --suite world.",
            )
        return sample_clip(item.prompt.seed, self._config, item.prompt.category).video
