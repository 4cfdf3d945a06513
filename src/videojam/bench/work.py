"""What a bench compares, and how the work is done: by which processes, in what batches, on what device."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from videojam.errors import VideoJamError
from videojam.locks import locked, refuse_if_held

if TYPE_CHECKING:
    import torch

    from videojam.bench.make.arms import ArmSpec
    from videojam.bench.make.suites import Suite

Part = TypeVar("Part")


@dataclass(frozen=True)
class Plan:
    """What a bench compares.

    Attributes:
        suite: Its prompts.
        arms: What to generate.
        num_seeds: Clips of each prompt.
        against: The arm that the others are compared with; the first if None.
        title: Head of the page.
        about: What is compared, for the top of the page.
    """

    suite: Suite
    arms: Sequence[ArmSpec]
    num_seeds: int = 1
    against: str | None = None
    title: str = ""
    about: str = ""


@dataclass(frozen=True)
class Rank:
    """This process among those that share the work.

    Attributes:
        number: 0..total − 1.
        total: Processes.
    """

    number: int = 0
    total: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.total:
            raise VideoJamError(
                expected="a rank from 0 to the number of ranks minus 1",
                found=f"rank {self.number} of {self.total}",
                where="--rank, --num-ranks (or RANK, WORLD_SIZE)",
                fix="Number the processes from 0.",
            )

    @classmethod
    def here(cls, number: int | None = None, total: int | None = None) -> Rank:
        """Return the rank given, else the one that `accelerate launch` or `torchrun` set, else the only one."""
        return cls(
            _variable("RANK", 0) if number is None else number,
            _variable("WORLD_SIZE", 1) if total is None else total,
        )

    def share(self, parts: Sequence[Part]) -> list[Part]:
        """Return every total-th part: each rank gets some of each category."""
        return list(parts[self.number :: self.total])


@dataclass(frozen=True)
class Work:
    """How clips are made and scored.

    Attributes:
        rank: Which part of the clips is this process's.
        batch_size: Clips sampled together.
        device: Where to run.
        dtype: Type of the weights; float32 on the CPU and bfloat16 elsewhere if None.
        offload: Keep components on the CPU while they don't run.
    """

    rank: Rank = Rank()
    batch_size: int = 1
    device: str = "cpu"
    dtype: torch.dtype | None = None
    offload: bool = False

    def rounding(self) -> dict[str, Any]:
        """Return what moves a clip by floating-point rounding: clips of one arm share it."""
        kind = self.device.partition(":")[0]
        dtype = str(self.dtype or ("float32" if kind == "cpu" else "bfloat16")).removeprefix("torch.")
        return {"batch_size": self.batch_size, "device": kind, "dtype": dtype}


@contextmanager
def held(out: str | Path, rank: Rank | None = None) -> Iterator[None]:
    """Hold a bench's folder for this process, or its part of it where several ranks share the work.

    A process that works by itself is refused beside a rank, and a rank beside such a process.

    Raises:
        VideoJamError: another process holds it.
    """
    out, one_of_many = Path(out), rank is not None and rank.total > 1
    with locked(out, f"bench-rank-{rank.number}" if rank and one_of_many else "bench"):
        refuse_if_held(out, "bench" if one_of_many else "bench-rank-*")
        yield


def _variable(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isdecimal():
        raise VideoJamError(
            expected="a whole number",
            found=repr(value),
            where=f"the environment variable {name}",
            fix="Start the ranks with torchrun or accelerate launch, or give --rank and --num-ranks.",
        )
    return int(value)
