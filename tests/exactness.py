"""What "exactly" means on the machine that runs the tests."""

from __future__ import annotations

import torch
from torch import Tensor

KEEPS_ORDER = torch.backends.cpu.get_cpu_capability() == "AVX512"
ROUNDING = 2e-5
"""Largest difference seen on a CPU without AVX-512, times three, as a share of the largest value."""


def same_as_the_base(ours: Tensor, base: Tensor) -> bool:
    """Whether two results of the same numbers and additional zeros are the same.

    Zero columns add exact zeros, so the sums are equal bit for bit where a kernel adds in the same order. With
    AVX-512 it does for every class here; with AVX2 a projection of more input channels may be added up in other
    blocks (36 → 52 channels of an image-to-video base), and then float32's rounding is what differs.
    """
    if KEEPS_ORDER:
        return torch.equal(ours, base)
    return bool((ours - base).abs().max() <= ROUNDING * base.abs().max())
