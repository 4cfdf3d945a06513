"""What is prepared, and what a run of it found and did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from videojam.data.config import WorldSource
from videojam.data.settings import PrepareSettings
from videojam.data.workers import WorkerConfig

Engine = Literal["processes", "ray"]
"""What reads clips: processes of this machine, or a Ray cluster, whose GPUs encode too."""


@dataclass(frozen=True)
class PrepareRequest:
    """What is prepared, into which folder, and by which process.

    Attributes:
        source: Folder, table, tar, or which clips of the world.
        out: Folder of the shards.
        base: Pipeline folder, hub id or shipped model, whose encoders are used.
        settings: All that decides the result.
        share: (i, n): this process makes every n-th shard, from the i-th on.
        device: Where the encoders and RAFT compute.
        workers: Processes that read clips.
        layout: Name of the folder's layout; detected if None.
        engine: What reads the clips.
    """

    source: Path | WorldSource
    out: Path
    base: str
    settings: PrepareSettings
    share: tuple[int, int] = (0, 1)
    device: str = "cpu"
    workers: WorkerConfig = WorkerConfig()  # noqa: RUF009 - frozen
    layout: str | None = None
    engine: Engine = "processes"


@dataclass
class PrepareReport:
    """What a run of `prepare` found and did.

    Attributes:
        num_shards: Shards of this process.
        num_kept: Of these, finished by an earlier run.
        num_clips: Clips in them.
        left_out: Clips that can't be used, with the reason.
    """

    num_shards: int = 0
    num_kept: int = 0
    num_clips: int = 0
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def unused_share(self) -> float:
        """Share of the clips that can't be used."""
        return len(self.left_out) / max(1, len(self.left_out) + self.num_clips)
