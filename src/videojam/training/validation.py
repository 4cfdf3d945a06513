"""Held-out losses: the average weights on clips that are not trained on, at fixed times with fixed noise."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from videojam.data.encoded import read_batch
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import fixed_draws
from videojam.objective.pushes import condition_products
from videojam.training.batches import batches_of_one_size
from videojam.training.ema import averaged
from videojam.training.finite import non_finite
from videojam.training.log import Line
from videojam.training.state import TrainRun


@torch.no_grad()
def validate(run: TrainRun) -> Line:
    """Measure held-out losses, appearance and motion apart, at each time of `validate_t`.

    The processes share out the batches. One that has none left measures the first once more, for nothing: every
    process calls the model equally often, since with FSDP2 and DDP a call is one of all of them.

    Raises:
        VideoJamError: a loss is NaN or infinite; says whether a clip, the weights or the training is the cause.
    """
    # so that held-out losses of all methods compare
    denoiser = replace(run.denoiser, moving=None, min_snr_gamma=None)
    halves = ("appearance", "motion") if denoiser.is_joint else ("appearance",)
    low, high = denoiser.sigma_range
    times = [t for t in run.config.validate_t if low <= 1 - t <= high]
    with averaged(run.state):
        sums = torch.stack([_sums_at(run, denoiser, t) for t in times]) if times else torch.zeros(0, 4)
    line: Line = {"step": run.state.step}
    means = []
    for t, (*totals, part, whole) in zip(times, run.votes.add(sums.cpu()).tolist(), strict=True):
        for half, total in zip(halves, totals, strict=False):
            if not math.isfinite(total):
                found = f"held-out loss {total} at t = {t:g}"
                raise non_finite(run, found, run.heldout, run.state.step)
            means.append(total / len(run.heldout))
            line[f"heldout_{half}@{t:g}"] = round(means[-1], 6)
        if whole > 0:  # before the first step of a converted base, motion changes nothing
            line[f"w_star_motion@{t:g}"] = round(part / whole, 4)
    run.state.heldout = sum(means) / len(means) if means else None
    return line


def _sums_at(run: TrainRun, denoiser: Denoiser, t: float) -> Tensor:
    """Return sums over this process's share of the held-out clips, on the device.

    They are those of both halves' losses (0 where there is no motion half), ⟨r, g⟩ and ⟨g, g⟩ of motion.
    """
    device, votes = run.accelerator.device, run.votes
    batches = list(batches_of_one_size(run.heldout, run.config.batch_size))
    sums = torch.zeros(4, device=device)
    for number in range(votes.rank, math.ceil(len(batches) / votes.num) * votes.num, votes.num):
        start, clips = batches[number if number < len(batches) else 0]
        batch = read_batch(clips, device)
        draws = fixed_draws(start, len(batch.x), t, batch.x.shape[1:]).to(device)
        with run.autocast():
            found = denoiser.losses(batch, draws)
            if not denoiser.is_joint:
                found = [*found, torch.zeros_like(found[0])]
            if run.config.validate_guidance:
                products = condition_products(denoiser, batch, draws, ("motion",))
                found = [*found, *products.get("motion", ())]
        if number < len(batches):
            sums[: len(found)] += torch.stack([values.sum() for values in found])
    return sums
