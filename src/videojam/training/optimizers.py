"""The optimizers of a run: AdamW, or Muon for the matrices of the blocks with AdamW for the rest."""

from __future__ import annotations

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.training.config import OptimizerConfig


def build_optimizers(config: OptimizerConfig, parameters: dict[str, Tensor]) -> list[torch.optim.Optimizer]:
    """Build the optimizers that share out a run's parameters.

    Muon (Jordan et al. 2024) makes a matrix's momentum orthogonal; its update is scaled to the size of AdamW's
    (0.2·√max(rows, columns), Liu et al. 2025, arXiv 2502.16982), so one learning rate serves both.

    Args:
        config: Recipe's optimizer.
        parameters: Trained parameters by name; matrices under a `…blocks.` list go to Muon.

    Raises:
        VideoJamError: this torch has no Muon.
    """
    matrices: dict[str, Tensor] = {}
    if config.name == "muon":
        if not hasattr(torch.optim, "Muon"):
            raise VideoJamError(
                expected="torch 2.9 or newer, which has Muon",
                found=f"torch {torch.__version__}",
                where="optimizer.name: muon",
                fix="Upgrade torch, or train with optimizer.name: adamw.",
            )
        matrices = {name: p for name, p in parameters.items() if p.ndim == 2 and "blocks." in name}
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(
            torch.optim.Muon(
                list(matrices.values()),
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    rest = [p for name, p in parameters.items() if name not in matrices]
    if rest:
        on_gpu = all(p.device.type == "cuda" for p in rest)
        # Fused AdamW is faster there, and leaves a bad step out without the host's knowledge (guard.py).
        optimizers.append(
            torch.optim.AdamW(
                rest,
                lr=config.learning_rate,
                betas=config.betas,
                weight_decay=config.weight_decay,
                fused=on_gpu or None,
            )
        )
    return optimizers
