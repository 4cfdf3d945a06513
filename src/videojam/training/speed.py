"""How fast a run is: seconds a step, clips and tokens a second, MFU, the share of waiting for data, memory, time left.

    MFU = (FLOPs of the model for the clips seen) / (seconds · rate · processes)

FLOPs are torch's count (`FlopCounterMode`) of one forward, times 3 where all weights are trained (forward, and backward
to activations and to weights), times 2 where adapters are; recomputed activations count once. The rate is what this
device reaches in a large matrix product, measured when the run starts.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import torch

from videojam.training.log import Line
from videojam.training.work import Work

GIB = 2**30
SIDE = {"cuda": 8192, "cpu": 256}
"""Side of the matrices of which the rate is measured."""


@dataclass
class Meter:
    """Adds up what happens between two log lines.

    Attributes:
        device: Where steps run.
        num_ranks: Processes.
        rate: FLOPs that a process's device does in a second at most; None leaves MFU out.
        longest_step_s: Of all steps so far.
        work: Of a clip, by the name of its size.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    num_ranks: int = 1
    rate: float | None = None
    longest_step_s: float = 0.0
    work: dict[str, Work] = field(default_factory=dict)
    _began: float = field(default_factory=time.perf_counter)
    _paused_s: float = 0.0
    _waiting_s: float = 0.0
    _steps: int = 0
    _clips: int = 0
    _tokens: int = 0
    _flops: float = 0.0

    def begin(self) -> None:
        """Begin a lap now."""
        self._began = time.perf_counter()
        self._paused_s = self._waiting_s = self._flops = 0.0
        self._steps = self._clips = self._tokens = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count what the block does as a step."""
        began = time.perf_counter()
        yield
        self._steps += 1
        self.longest_step_s = max(self.longest_step_s, time.perf_counter() - began)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as waiting for data."""
        began = time.perf_counter()
        yield
        self._waiting_s += time.perf_counter() - began

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the block out of the time of the steps."""
        began = time.perf_counter()
        yield
        self._paused_s += time.perf_counter() - began

    def saw(self, clips: int, work: Work) -> None:
        """Count the clips of a step, over all processes.

        Args:
            clips: How many.
            work: Of each.
        """
        self._clips += clips
        self._tokens += clips * work.tokens
        self._flops += clips * work.flops

    def lap(self, steps_left: int) -> Line:
        """Return the figures since the last lap, and begin the next.

        Args:
            steps_left: Steps that are still to do, for the time that is left.
        """
        seconds = max(time.perf_counter() - self._began - self._paused_s, 1e-9)
        step_s = seconds / max(self._steps, 1)
        line: Line = {
            "step_s": round(step_s, 4),
            "clips_per_s": round(self._clips / seconds, 3),
            "tokens_per_s": round(self._tokens / seconds, 1),
            "data_share": round(self._waiting_s / seconds, 4),
            "memory_gib": round(peak_memory(self.device) / GIB, 3),
            "left_s": round(step_s * steps_left, 1),
        }
        if self.rate and self._flops:
            line["mfu"] = round(self._flops / (seconds * self.rate * self.num_ranks), 4)
        self.longest_step_s = max(self.longest_step_s, step_s)
        self.begin()
        return line


TIMES = ("step_s", "clips_per_s", "tokens_per_s", "data_share", "memory_gib", "left_s", "mfu")
"""Keys of a log line that differ from run to run."""


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that were in use so far, of the GPU, or of the process where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure how many FLOPs a second a device does in a product of two square matrices: the best of five.

    It is measured once in a process.

    Args:
        device: Which.
        dtype: Of the matrices.
    """
    side = SIDE.get(device.type, SIDE["cpu"])
    one = torch.ones(side, side, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(1 + 5):  # the first warms up
        _finish(device)
        began = time.perf_counter()
        one @ one
        _finish(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
