"""What the processes of a run agree on at each step: whether to stop, and that all of them still answer.

Numbers travel over gloo, between hosts, so that agreeing waits for no GPU.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from videojam.errors import VideoJamError

PATIENCE = timedelta(days=7)
"""How long a process waits for one that encodes or exports; a process that ended is noticed at once all the same."""
LOST = re.compile(
    r"connection (closed|reset)|timed out|timeout|broken pipe|peer|nccl|gloo|socket|store", re.IGNORECASE
)


class Votes:
    """The voice of each process of a run; a single process agrees with itself.

    Args:
        timeout_s: Seconds after which a process that doesn't answer counts as lost, while steps run.
    """

    def __init__(self, timeout_s: float = 600.0) -> None:
        self.timeout_s = timeout_s
        self.num = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        self.rank = dist.get_rank() if self.num > 1 else 0
        self.brisk: Any = None
        self.patient: Any = None
        self.saving: Any = None
        if self.num > 1:
            self.brisk = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout_s))
            self.patient = dist.new_group(backend="gloo", timeout=PATIENCE)
            self.saving = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout_s))

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether any process raised it; all processes get the same answer.

        Raises:
            VideoJamError: a process ended, or didn't answer in time.
        """
        if self.num == 1:
            return flags
        raised = torch.tensor(flags, dtype=torch.int32)
        with explained(self.num, self.timeout_s):
            dist.all_reduce(raised, dist.ReduceOp.MAX, group=self.brisk)
        return tuple(bool(flag) for flag in raised.tolist())

    def wait(self) -> None:
        """Wait for all processes, however long one of them encodes or exports.

        Raises:
            VideoJamError: a process ended.
        """
        if self.num > 1:
            with explained(self.num, self.timeout_s):
                dist.barrier(group=self.patient)

    def from_first(self, words: str = "") -> str:
        """Return what the first process says, however long it encodes or exports before.

        Args:
            words: In the first process, these.

        Raises:
            VideoJamError: a process ended.
        """
        said = [words]
        if self.num > 1:
            with explained(self.num, self.timeout_s):
                dist.broadcast_object_list(said, src=0, group=self.patient)
        return said[0]

    @contextmanager
    def first(self) -> Iterator[None]:
        """Run the block in the first process, and then in the others.

        Raises:
            VideoJamError: a process ended.
        """
        if self.rank:
            self.wait()
        yield
        if not self.rank:
            self.wait()

    def add(self, sums: torch.Tensor) -> torch.Tensor:
        """Return the sum of a host tensor over the processes.

        Raises:
            VideoJamError: a process ended, or didn't answer in time.
        """
        if self.num > 1:
            with explained(self.num, self.timeout_s):
                dist.all_reduce(sums, group=self.brisk)
        return sums


@contextmanager
def explained(num: int, timeout_s: float) -> Iterator[None]:
    """Turn a collective operation that failed, as another process ended, into an error that says so.

    Args:
        num: Processes of the run.
        timeout_s: Seconds that a process has to answer.

    Raises:
        VideoJamError: another process ended, or didn't answer in time.
    """
    try:
        yield
    except RuntimeError as error:
        if num == 1 or not LOST.search(str(error)):
            raise
        raise VideoJamError(
            expected=f"all {num} processes to go on",
            found=f"one that has ended, or has not answered for {timeout_s:g} s "
            f"({str(error).strip().splitlines()[0][:200]})",
            where="parallel training",
            fix="Read what the other processes printed, and start the same command again: it goes on from the last "
            "checkpoint. parallel.timeout_s is how long a process may take to answer.",
        ) from error
