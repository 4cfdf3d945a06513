"""What is prepared, and what a run of it found and did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videojam.data.settings import PrepareSettings
from videojam.data.workers import WorkerConfig, in_workers

Run = Callable[[Callable[[Any], Any], list[Any], WorkerConfig], Iterator[Any]]
"""What applies a function to tasks in order: `in_workers`, or an engine on several machines."""


@dataclass(frozen=True)
class PrepareRequest:
    """What is prepared, into which folder, and by which process.

    Attributes:
        source: Folder, table or tar.
        out: Folder of the shards.
        base: Pipeline folder, hub id or shipped model, whose encoders are used.
        settings: All that decides the result.
        share: (i, n): this process makes every n-th shard, from the i-th on.
        device: Where the encoders and RAFT compute.
        workers: Processes that read clips.
        layout: Name of the folder's layout; detected if None.
        run: What applies a function to tasks.
    """

    source: Path
    out: Path
    base: str
    settings: PrepareSettings
    share: tuple[int, int] = (0, 1)
    device: str = "cpu"
    workers: WorkerConfig = WorkerConfig()  # noqa: RUF009 - frozen
    layout: str | None = None
    run: Run = in_workers


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
