"""What a call of `prepare` leaves out: sizes of the base, and the share of this process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from videojam.data.config import WorldSource
from videojam.data.layouts.world import own_bucket
from videojam.data.settings import Bucket, parse_bucket
from videojam.errors import VideoJamError
from videojam.models.outline import outline

RANKS = (
    ("RANK", "WORLD_SIZE"),
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)
"""Environment of torchrun, of a Slurm array, and of Slurm's tasks: rank and number of processes."""


def clip_fields(
    base: str, buckets: list[str], fps: float | None, source: Path | WorldSource | None = None
) -> dict[str, Any]:
    """Return the buckets and the rate; where none are given, those of the world's clips, or else of the base.

    Args:
        base: Pipeline folder, hub id or shipped model.
        buckets: As FRAMESxHEIGHTxWIDTH.
        fps: Frames a second.
        source: Where the clips come from.

    Raises:
        VideoJamError: a size that the base doesn't take.
    """
    model = outline(base)
    names, pipe = ("num_frames", "height", "width"), model.pipeline
    own = Bucket(
        **{name: getattr(model.defaults, name) or model.family.default(pipe, name) for name in names}
    )
    own_fps = model.defaults.fps or model.family.fps
    if isinstance(source, WorldSource):
        own, own_fps = own_bucket(source), source.fps
    found = tuple(parse_bucket(text) for text in buckets) or (own,)
    for bucket in found:
        model.family.latent_shape(pipe, bucket.num_frames, bucket.height, bucket.width)
    return {"buckets": found, "fps": own_fps if fps is None else fps}


def share_of(text: str | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """Return (i, n): this process makes every n-th shard from the i-th on.

    Args:
        text: As `I/N`; the environment's if None.
        environment: Where torchrun and Slurm say a process's rank.

    Raises:
        VideoJamError: no such share.
    """
    if text is None:
        for rank, count in RANKS:
            if rank in environment and count in environment:
                first = int(environment.get("SLURM_ARRAY_TASK_MIN", 0)) if "ARRAY" in rank else 0
                return int(environment[rank]) - first, int(environment[count])
        return 0, 1
    match = re.fullmatch(r"(\d+)/([1-9]\d*)", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise VideoJamError(
            expected="I/N with 0 ≤ I < N",
            found=repr(text),
            where="--shard",
            fix="Write for instance 0/8, …, 7/8.",
        )
    return int(match[1]), int(match[2])
