"""Held-out losses: the average weights on clips that are not trained on, at fixed times with fixed noise."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from videojam.data.encode import read_batch
from videojam.objective.draws import fixed_draws
from videojam.training.batches import batches_of_one_size
from videojam.training.ema import averaged
from videojam.training.finite import non_finite
from videojam.training.log import Line
from videojam.training.state import TrainRun


@torch.no_grad()
def validate(run: TrainRun) -> Line:
    """Measure held-out losses, appearance and motion apart, at each time of `validate_t`.

    Raises:
        VideoJamError: a loss is NaN or infinite; says whether a clip, the weights or the training is the cause.
    """
    config, device = run.config, run.accelerator.device
    denoiser = replace(run.denoiser, moving=None)  # held-out losses of all methods compare
    line: Line = {"step": run.state.step}
    halves = ("appearance", "motion") if denoiser.is_joint else ("appearance",)
    with averaged(run.state):
        low, high = denoiser.sigma_range
        for t in (t for t in config.validate_t if low <= 1 - t <= high):
            sums = torch.zeros(len(halves))
            for start, clips in batches_of_one_size(run.heldout, config.batch_size):
                batch = read_batch(clips, device)
                draws = fixed_draws(start, len(batch.x), t, batch.x.shape[1:]).to(device)
                with run.autocast():
                    losses = denoiser.losses(batch, draws)
                sums += torch.stack([loss.sum().cpu() for loss in losses])
            for half, total in zip(halves, sums.tolist(), strict=True):
                if not math.isfinite(total):
                    raise non_finite(run, f"held-out loss {total} at t = {t:g}", run.heldout)
                line[f"heldout_{half}@{t:g}"] = round(total / len(run.heldout), 6)
    return line
