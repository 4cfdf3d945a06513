"""How much work a clip is: its tokens, and the FLOPs of the model for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from videojam.joint.batch import Batch
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import Draws

FULL, ADAPTERS = 3, 2
"""A step's FLOPs in forwards: forward, backward to activations, and backward to the weights where all are trained."""


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *args: object, **kwargs: object) -> int:
    """Return the FLOPs of attention by its shapes."""
    return sdpa_flop_count(query, key, value)


def _attention_backward(
    gradient: torch.Size,
    query: torch.Size,
    key: torch.Size,
    value: torch.Size,
    *args: object,
    **kwargs: object,
) -> int:
    """Return the FLOPs of attention's backward by its shapes."""
    return sdpa_backward_flop_count(gradient, query, key, value)


ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""torch counts attention on GPUs only."""


@dataclass(frozen=True)
class Work:
    """What a clip of one size costs.

    Attributes:
        tokens: Of the transformer's sequence; text not counted.
        flops: Of a training step, recomputed activations not counted.
    """

    tokens: int
    flops: float


@torch.no_grad()
def work_of(denoiser: Denoiser, batch: Batch, draws: Draws, *, has_adapters: bool) -> Work:
    """Count the work for one clip of a batch by one more forward of all of it, as it is without compiling.

    Args:
        denoiser: With the transformer as each process calls it; all processes count together.
        batch: Clips of one size.
        draws: Their noise.
        has_adapters: Whether most weights are frozen.
    """
    positions = denoiser.family.num_positions(denoiser.transformer.config)
    with (
        torch.compiler.set_stance("force_eager"),
        FlopCounterMode(display=False, custom_mapping=ON_CPU) as counter,
    ):
        denoiser.family.denoise(denoiser.transformer, denoiser.noised(batch, draws), draws.sigma, batch.text)
    forward = counter.get_total_flops() / len(batch.x)
    tokens = math.prod(batch.x.shape[2:]) // positions
    return Work(tokens, forward * (ADAPTERS if has_adapters else FULL))
