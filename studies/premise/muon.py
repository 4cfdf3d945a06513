"""Muon with the matrices of one shape orthogonalised at once, and nothing read by the host.

The same update as `torch.optim.Muon` (tested against it), which takes a matrix at a time and reads the rate on
the host: neither a CUDA graph nor a model of many small matrices can use that.
"""

from __future__ import annotations

from collections import defaultdict
from typing import cast

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NUM_ITERATIONS = 5
EPS = 1e-7


class StackedMuon:
    """Muon with Nesterov momentum, without weight decay, its rate matched to AdamW's rms."""

    def __init__(self, parameters: list[Tensor], rate: Tensor, momentum: float = 0.95) -> None:
        """Group matrices by shape.

        Args:
            parameters: Matrices; each must have a gradient when `step` is called.
            rate: Scalar tensor on their device, read at each step.
            momentum: Share of the last step's direction.
        """
        groups: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for parameter in parameters:
            groups[parameter.shape].append(parameter)
        self.groups = list(groups.values())
        self.buffers = [torch.zeros_like(torch.stack(list(group))) for group in self.groups]
        self.rate, self.momentum = rate, momentum

    @torch.no_grad()
    def step(self) -> None:
        """Update every matrix from its gradient."""
        for group, buffer in zip(self.groups, self.buffers, strict=True):
            gradient = torch.stack([cast(Tensor, parameter.grad) for parameter in group])
            buffer.lerp_(gradient, 1 - self.momentum)
            update = orthogonalised(gradient.lerp(buffer, self.momentum)).to(buffer)
            scale = 0.2 * max(buffer.shape[1:]) ** 0.5 * self.rate
            torch._foreach_sub_(group, list((scale * update).unbind()))


def orthogonalised(matrices: Tensor) -> Tensor:
    """Map each matrix's singular values to about 1 by Newton-Schulz iterations.

    In bfloat16 as `torch.optim.Muon`, but on a CPU in float32, whose batched products are far faster there.

    Args:
        matrices: `[N, A, B]`.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices if matrices.device.type == "cpu" else matrices.bfloat16()
    x = x.mT if is_tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPS)
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x
