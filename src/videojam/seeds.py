"""Random numbers as a function of a seed and words: a run that is resumed, or has other processes, draws the same."""

from __future__ import annotations

import zlib

import torch


def generator_of(seed: int, *words: object) -> torch.Generator:
    """Return the generator of one purpose, on the CPU: a function of its arguments.

    Args:
        seed: Of the run.
        words: What tells its uses apart, such as the step, the row and what is drawn.
    """
    mixed = zlib.crc32(" ".join(map(str, (seed, *words))).encode()) | (seed << 32)
    return torch.Generator().manual_seed(mixed % (1 << 63))
