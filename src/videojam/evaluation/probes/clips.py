"""The clips that a probe reads, their frames in an order of choice, and their latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from videojam.data.clips import ClipContent, ClipEntry, list_clips
from videojam.data.config import FolderSource, WorldSource
from videojam.data.latents import DrawnClip, encode_clips, flow_of
from videojam.data.layouts.world import world_count
from videojam.joint.batch import Batch
from videojam.models.load import LoadedModel
from videojam.motion.estimators import FlowEstimator, build_estimator
from videojam.world import WorldConfig, sample_clip
from videojam.world.clip import world_of_size

WORLD_SEED = 600_000_000
"""First seed of the world clips of `world:N`: no recipe trains on them, and the demo shows others."""

Estimator = Literal["raft", "dis"]


@dataclass(frozen=True)
class ProbeClip:
    """A clip of a probe.

    Attributes:
        entry: Its name, caption and fingerprint.
        seed: Seed in the world; None for a file.
    """

    entry: ClipEntry
    seed: int | None

    @property
    def key(self) -> str:
        """Hash of the clip's content, of how it is read, and of its caption."""
        return self.entry.key


@dataclass(frozen=True)
class ReadSize:
    """Size and rate at which a probe reads clips; None is the model's own.

    Attributes:
        num_frames: Frames a clip.
        height: In px.
        width: In px.
        fps: Frames a second.
    """

    num_frames: int | None = None
    height: int | None = None
    width: int | None = None
    fps: float | None = None

    def of(self, model: LoadedModel) -> dict[str, Any]:
        """Return the size with what isn't given filled in: from the model's defaults, then from its stock pipeline."""
        size: dict[str, Any] = {}
        for name in ("num_frames", "height", "width"):
            given = getattr(self, name)
            wanted = getattr(model.defaults, name) if given is None else given
            size[name] = model.family.default(model.pipeline, name) if wanted is None else wanted
        own_fps = model.defaults.fps or model.family.fps
        return {**size, "fps": own_fps if self.fps is None else self.fps}


def source_of(
    data: str,
    model: LoadedModel,
    asked: ReadSize | None = None,
    *,
    skip_unreadable: bool = False,
    world: dict[str, Any] | None = None,
    world_seed: int = WORLD_SEED,
) -> FolderSource | WorldSource:
    """Read DATA as users write it, at the model's own size where none is given.

    Args:
        data: A folder of videos with captions, or `world:N`.
        model: Whose own size is taken where none is given.
        asked: Size and rate.
        skip_unreadable: Leave out, count and list clips that can't be used, in place of stopping.
        world: Further fields of `WorldConfig`, such as texture and kinds.
        world_seed: Seed of the first world clip.

    Raises:
        VideoJamError: `world:` without a number, or a size that the world's clips can't have.
    """
    size = (asked or ReadSize()).of(model)
    num_clips = world_count(data, "DATA")
    if num_clips is None:
        on_error: Literal["skip", "stop"] = "skip" if skip_unreadable else "stop"
        return FolderSource(path=Path(data), on_error=on_error, **size)
    config = world_of_size(WorldConfig(**(world or {})), **size)
    return WorldSource(num_clips=num_clips, seed=world_seed, world=config)


def probe_clips(source: FolderSource | WorldSource) -> tuple[list[ProbeClip], dict[str, str]]:
    """List the clips of a source, and those left out with their reasons.

    Raises:
        VideoJamError: nothing to read, or a clip without caption where the source says to stop.
    """
    entries, left_out = list_clips(source)
    first = source.seed if isinstance(source, WorldSource) else None
    clips = [ProbeClip(entry, None if first is None else first + i) for i, entry in enumerate(entries)]
    return clips, left_out


def read_in_order(
    clip: ProbeClip, source: FolderSource | WorldSource, order: Sequence[int] | None = None
) -> ClipContent:
    """Read a clip with its frames in an order, and the flow of *that* order where the source knows it.

    The world's is exact.

    Args:
        clip: From `probe_clips`.
        source: It came from.
        order: Numbers of the frames in their new order; None keeps it.

    Raises:
        VideoJamError: the file can't be read.
    """
    if order is None:
        return clip.entry.read()
    if not isinstance(source, WorldSource) or clip.seed is None:
        return ClipContent(clip.entry.read().video[list(order)], None)
    drawn = sample_clip(clip.seed, source.world, order=order)
    return ClipContent(drawn.video, drawn.flow)


def estimator_of(
    model: LoadedModel, source: FolderSource | WorldSource, name: Estimator | None
) -> FlowEstimator | None:
    """Build what measures the flow that a joint model reads; none where nothing has to be measured.

    Args:
        model: A base reads no flow.
        source: The world brings exact flow.
        name: In place of the estimator of the model's motion code.

    Raises:
        VideoJamError: the motion code asks for exact flow, which files don't bring, or weights are missing.
    """
    if model.record is None or isinstance(source, WorldSource):
        return None
    return build_estimator(name or model.record.motion.estimator)


def encode(
    model: LoadedModel,
    contents: Sequence[ClipContent],
    captions: Sequence[str],
    estimator: FlowEstimator | None,
) -> Batch:
    """Encode clips as for training, one at a time, on the model's device.

    Args:
        model: Base or joint model. A base reads no motion: its d is x, to have a shape, and is never used.
        contents: Clips.
        captions: One for each.
        estimator: Of flow that the clips don't bring.

    Raises:
        VideoJamError: NaN in the latents.
    """
    code = None if model.record is None else model.record.motion
    drawn = [
        DrawnClip(
            name=caption,
            caption=caption,
            video=content.video,
            motion=None if code is None else code.draw(flow_of(content, estimator)),
            gain=1.0 if code is None else code.gain,
        )
        for content, caption in zip(contents, captions, strict=True)
    ]
    made = encode_clips(model, drawn, max_sequence_length=model.defaults.max_sequence_length)
    device = next(model.family.first_transformer(model.pipeline).parameters()).device
    cond: dict[str, Tensor] = {name: value.to(device) for name, value in {**made.text, **made.image}.items()}
    return Batch(made.x.float().to(device), made.d.float().to(device), cond)
