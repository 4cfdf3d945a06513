"""Flags in groups of `videojam data`: how files are read, which stretches become clips, and how they are encoded."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videojam.cli.common import Device, build

if TYPE_CHECKING:
    from videojam.data.config import WorldSource
    from videojam.data.settings import ClipSettings, PrepareSettings
    from videojam.data.workers import WorkerConfig


@dataclass(frozen=True)
class ReadFlags:
    """How files are read."""

    layout: Annotated[
        str | None, typer.Option(metavar="NAME", help="Layout of the folder. (default: detected, and named)")
    ] = None
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Processes that read files. (default: one a core)")
    ] = None
    time_limit: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="Longest time for one file, in s.")
    ] = 60.0
    world: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Of world:N, as seed=9 or pixel_px=4; repeat for more. (default: the world's own)",
        ),
    ] = None

    def config(self) -> WorkerConfig:
        """Return how many processes read, and for how long."""
        from videojam.data.workers import WorkerConfig

        num = _num_cores() if self.workers is None else self.workers
        return WorkerConfig(num_workers=num, time_limit_s=self.time_limit)


@dataclass(frozen=True)
class PrepareReadFlags(ReadFlags):
    """How files are read in whole, and which of them."""

    time_limit: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="Longest time for one file, in s.")
    ] = 300.0
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Make every N-th shard from I on. (default: torchrun's or Slurm's rank)"
        ),
    ] = None
    engine: Annotated[
        Literal["processes", "ray"],
        typer.Option(
            help="What reads clips: processes of this machine, or a Ray cluster, whose GPUs encode too."
        ),
    ] = "processes"


@dataclass(frozen=True)
class CutFlags:
    """Which stretches of a file become clips, and of which size."""

    bucket: Annotated[
        list[str] | None,
        typer.Option(
            "--bucket",
            metavar="FxHxW",
            help="Frames x height x width of prepared clips; repeat for more. "
            "(default: of `check` any, of `prepare` the base's)",
        ),
    ] = None
    fps: Annotated[
        float | None,
        typer.Option(metavar="N", help="Frames a second of prepared clips; with --bucket. (default: 16)"),
    ] = None
    cuts: Annotated[
        Literal["ignore", "first", "split"],
        typer.Option(help="Scene cuts: not looked for, only the first scene, or each scene a clip."),
    ] = "ignore"
    cut_rule: Annotated[
        Literal["histogram", "transnetv2"],
        typer.Option(help="How cuts are found: by colours, or by a network, dissolves too (videojam[cuts])."),
    ] = "histogram"
    windows: Annotated[
        Literal["first", "all"],
        typer.Option(help="Of a long scene: its start, or one clip after another."),
    ] = "first"


@dataclass(frozen=True)
class ClipFlags(CutFlags):
    """The same, and how clips are fitted and filtered."""

    fps: Annotated[float | None, typer.Option(metavar="N", help="Frames a second. (default: the base's)")] = (
        None
    )
    fit: Annotated[
        Literal["crop", "letterbox"], typer.Option(help="How a picture of another shape gets the size.")
    ] = "crop"
    min_motion: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Leave out clips of a lower mean speed, in diagonals a frame. (default: no limit)",
        ),
    ] = None
    max_motion: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Leave out clips of a higher mean speed, in diagonals a frame. (default: no limit)",
        ),
    ] = None

    def settings(self, base: str, source: Path | WorldSource) -> ClipSettings:
        """Return the settings, with the size and rate of the base or the world where none are given."""
        from videojam.data.request import clip_fields
        from videojam.data.settings import ClipSettings

        given = asdict(self)
        fields = clip_fields(base, given.pop("bucket") or [], given.pop("fps"), source)
        return build(ClipSettings, "the clips", **given, **fields)


@dataclass(frozen=True)
class EncodeFlags:
    """How clips are encoded and put into shards."""

    motion: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Motion code, as estimator=dis or scale=0.1; repeat for more. (default: the paper's)",
        ),
    ] = None
    raft_precision: Annotated[
        Literal["fp32", "half"], typer.Option(help="Of the estimator raft: half is faster on a GPU.")
    ] = "fp32"
    tile_above_px: Annotated[
        int, typer.Option(metavar="PX", min=1, help="Buckets of more pixels a frame are encoded in tiles.")
    ] = 2**20
    image_to_video: Annotated[
        bool,
        typer.Option(
            "--image-to-video",
            help="Keep the first frames' conditions too, for a base that does both (TI2V-5B, LTX-Video).",
        ),
    ] = False
    clips_per_shard: Annotated[int, typer.Option(metavar="N", min=1, help="Clips of a shard.")] = 256
    batch_clips: Annotated[int, typer.Option(metavar="N", min=1, help="Clips encoded together on a GPU.")] = 4
    max_sequence_length: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Text tokens. (default: the base's)")
    ] = None
    device: Device = None

    def settings(self, clips: ClipSettings, source: Path | WorldSource) -> PrepareSettings:
        """Return all that decides the shards; the flow of the world's clips is exact."""
        from videojam.data.config import WorldSource
        from videojam.data.settings import PrepareSettings
        from videojam.keyvalue import apply_pairs
        from videojam.motion.code import MotionCode

        code: dict[str, object] = {"estimator": "exact"} if isinstance(source, WorldSource) else {}
        apply_pairs(code, self.motion or [], "--motion", read=lambda text, where: text)
        return PrepareSettings(
            clips=clips,
            motion=build(MotionCode, "the motion code", **code),
            raft_precision=self.raft_precision,
            tile_above_px=self.tile_above_px,
            max_sequence_length=self.max_sequence_length,
            image_to_video=self.image_to_video,
            clips_per_shard=self.clips_per_shard,
            batch_clips=self.batch_clips,
        )


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
