"""Steps whose gradient is NaN, infinite or too large: they change no weight, are counted, and stop the run or not.

Whether a step is bad is known on the device. Where the optimizer is torch's fused AdamW (a GPU's default), it leaves
the weights and moments of a bad step as they were without telling the host (`found_inf`, which torch's gradient scaler
uses too), so no step waits for the GPU. On a CPU, and with other optimizers, the host asks once a step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from videojam.training.config import TrainConfig


def is_bad(config: TrainConfig, norm: Tensor) -> Tensor:
    """Return whether a gradient of this norm must not be used, as a boolean on the device.

    Args:
        config: Its `optimizer.largest_norm` is the largest norm that is used.
        norm: Norm of the gradient over all processes; NaN or infinite where an entry is.
    """
    return ~(norm <= (config.optimizer.largest_norm or math.inf)) | ~torch.isfinite(norm)


def take_step(optimizers: list[torch.optim.Optimizer], bad: Tensor) -> None:
    """Let the optimizers take their step unless it is bad, and drop the gradients.

    Args:
        optimizers: Over all parameters.
        bad: From `is_bad`.
    """
    on_device = all(skips_on_device(optimizer) for optimizer in optimizers)
    if on_device:
        for optimizer in optimizers:
            optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
    if on_device or not bool(bad):
        for optimizer in optimizers:
            optimizer.step()
    for optimizer in optimizers:
        optimizer.zero_grad()


def skips_on_device(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer can leave a step out without the host's knowledge."""
    return bool(optimizer.defaults.get("fused")) and isinstance(optimizer, torch.optim.AdamW)
