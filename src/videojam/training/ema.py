"""The running average of the trained weights (EMA), which is what a run saves as its model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from videojam.training.sharding import local
from videojam.training.state import TrainState


@torch.no_grad()
def move_average(state: TrainState, decay: float) -> None:
    """Move the average towards the weights, faster in the first steps: decay ≤ (1 + n) / (10 + n)."""
    if state.ema:
        decay = min(decay, (1 + state.step) / (10 + state.step))
        pairs = [(local(state.ema[name]), local(p.detach())) for name, p in state.parameters.items()]
        same = [(average, weight) for average, weight in pairs if average.dtype == weight.dtype]
        torch._foreach_lerp_([average for average, _ in same], [weight for _, weight in same], 1 - decay)
        for average, weight in pairs:
            if average.dtype != weight.dtype:  # bf16 weights, one float32 copy at a time
                average.lerp_(weight.float(), 1 - decay)


@contextmanager
def averaged(state: TrainState) -> Iterator[None]:
    """Put the average weights in place of the trained ones for a while."""
    if not state.ema:
        yield
        return
    own = {name: parameter.detach().clone() for name, parameter in state.parameters.items()}
    _copy(state.ema, state.parameters)
    try:
        yield
    finally:
        _copy(own, state.parameters)


def put_average(state: TrainState) -> None:
    """Put the average weights in place of the trained ones for good."""
    if state.ema:
        _copy(state.ema, state.parameters)


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, tensor in target.items():
        local(tensor).copy_(local(source[name]))
