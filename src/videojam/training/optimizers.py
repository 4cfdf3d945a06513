"""The optimizers of a run: AdamW, Muon for the matrices of the blocks, Adafactor, or AdamW with moments of 8 bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from videojam.optional import from_extra
from videojam.training.config import OptimizerConfig
from videojam.training.stochastic import StochasticAdamW


def build_optimizers(
    config: OptimizerConfig, parameters: dict[str, Tensor], seed: int = 0
) -> list[torch.optim.Optimizer]:
    """Build the optimizers that share out a run's parameters.

    Muon (Jordan et al. 2024) makes a matrix's momentum orthogonal; its update is scaled to the size of AdamW's
    (0.2·√max(rows, columns), Liu et al. 2025, arXiv 2502.16982), so one learning rate serves both. Parameters in bf16
    are AdamW's, rounded stochastically.

    Args:
        config: Recipe's optimizer.
        parameters: Trained parameters by name; matrices under a `…blocks.` list go to Muon.
        seed: Of the stochastic rounding.

    Raises:
        VideoJamError: bitsandbytes is missing.
    """
    rest = dict(parameters)
    optimizers: list[torch.optim.Optimizer] = []
    rounded = [rest.pop(name) for name, p in parameters.items() if p.dtype == torch.bfloat16]
    if rounded:
        optimizers.append(
            StochasticAdamW(
                rounded,
                lr=config.learning_rate,
                betas=config.betas,
                weight_decay=config.weight_decay,
                seed=seed,
            )
        )
    if config.name == "muon":
        optimizers += _muon(config, rest)
    if rest:
        optimizers.append(_of_all(config, list(rest.values())))
    return optimizers


def _muon(config: OptimizerConfig, rest: dict[str, Tensor]) -> list[torch.optim.Optimizer]:
    """Take the blocks' matrices out of the parameters, and return Muon over them."""
    matrices = [rest.pop(name) for name, p in list(rest.items()) if p.ndim == 2 and "blocks." in name]
    if not matrices:
        return []
    options: dict[str, Any] = {"weight_decay": config.weight_decay, "adjust_lr_fn": "match_rms_adamw"}
    return [torch.optim.Muon(matrices, lr=config.learning_rate, **options)]


def _of_all(config: OptimizerConfig, parameters: list[Tensor]) -> torch.optim.Optimizer:
    if config.name == "adafactor":
        return torch.optim.Adafactor(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    adam: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": config.betas,
        "weight_decay": config.weight_decay,
    }
    if config.name == "adamw_8bit":
        return _adamw_8bit(parameters, adam)
    on_gpu = all(parameter.device.type == "cuda" for parameter in parameters)
    # Fused AdamW is faster there, and leaves a bad step out without the host's knowledge (guard.py).
    return torch.optim.AdamW(parameters, **adam, fused=on_gpu or None)


def _adamw_8bit(parameters: list[Tensor], options: dict[str, Any]) -> torch.optim.Optimizer:
    """Return bitsandbytes' AdamW, whose count of steps is a tensor between steps, as checkpoints ask."""
    package, without = "bitsandbytes, which keeps moments in 8 bits", "set optimizer.name: adamw"
    with from_extra(package, "videojam[8bit]", "optimizer.name: adamw_8bit", without):
        import bitsandbytes

    class AdamW8bit(bitsandbytes.optim.AdamW8bit):
        def step(self, closure: Any = None) -> Any:
            for state in self.state.values():
                state["step"] = int(state.get("step", 0))
            result = super().step(closure)
            for state in self.state.values():
                state["step"] = torch.tensor(float(state["step"]))
            return result

    optimizer: torch.optim.Optimizer = AdamW8bit(parameters, **options)
    return optimizer
