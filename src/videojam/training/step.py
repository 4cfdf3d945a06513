"""One optimizer step of Eq. 6 over the processes' shares of a batch; nothing in it waits for the device."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from videojam.objective.draws import Draws, draw
from videojam.objective.loss import half_means, joint_loss
from videojam.training.batches import MicroBatch, clips_of_step, micro_batches_of
from videojam.training.ema import move_average
from videojam.training.guard import is_bad, take_step
from videojam.training.new_rate import scaled_updates
from videojam.training.schedule import motion_weight
from videojam.training.sharding import whole
from videojam.training.state import TrainRun
from videojam.training.work import work_of


def step(run: TrainRun, rate: float) -> None:
    """Take one step, and add its numbers to the state's window.

    Args:
        run: Its state is changed in place.
        rate: Learning rate.

    Raises:
        VideoJamError: a clip of the batch can't be read.
    """
    config, state = run.config, run.state
    for group in (group for optimizer in state.optimizers for group in optimizer.param_groups):
        group["lr"] = rate
    weight = motion_weight(config.objective, state.step, config.num_steps)
    losses = _backward(run, weight)
    limit = config.optimizer.clip_norm or math.inf
    norm = whole(torch.nn.utils.clip_grad_norm_(state.parameters.values(), limit)).to(losses.device)
    bad = is_bad(config, norm)
    with scaled_updates(state.parameters, run.masks, config.optimizer.new_rate_factor):
        take_step(state.optimizers, bad)
    move_average(state, config.ema_decay)
    state.step += 1
    state.heldout = None
    state.window.add(state.step, weight, losses, norm, bad)


def _backward(run: TrainRun, weight: float) -> Tensor:
    """Accumulate the gradients of one step over this process's share, and return the losses over all of them.

    Args:
        run: What is trained.
        weight: λ of Eq. 6.
    """
    config, accelerator, number = run.config, run.accelerator, run.state.step
    numbers = clips_of_step(run.buckets, run.batch_size, config.seed, number)
    bucket = run.buckets[numbers[0]]
    rank, num_ranks = accelerator.process_index, accelerator.num_processes
    # The gradient is averaged over the processes, so each divides by the mean number of rows.
    num_clips = len(numbers) / num_ranks
    totals = torch.zeros(1 + run.denoiser.is_joint, dtype=torch.float64, device=accelerator.device)
    draws: Draws | None = None
    for micro in micro_batches_of(len(numbers), config.accumulation, rank, num_ranks):
        with run.meter.waiting():
            batch = next(run.batches)
        if draws is None:
            shape, sigma_range = tuple(batch.x.shape[1:]), run.denoiser.sigma_range
            objective = config.objective.of_base(run.denoiser.times, math.prod(shape[1:]))
            draws = draw(objective, config.seed, number, len(numbers), shape, sigma_range)
        mine = draws.rows(micro.rows).to(accelerator.device)
        if bucket not in run.meter.work:
            with run.autocast(), run.meter.paused():
                run.meter.work[bucket] = work_of(run.denoiser, batch, mine, has_adapters=bool(config.lora))
        with _summed(run, micro):
            with run.autocast():
                halves = run.denoiser.losses(batch, mine)
            loss = joint_loss(halves, weight, num_clips)
            accelerator.backward(loss if micro.counts else loss * 0)
        if micro.counts:
            totals += torch.stack([mean.detach() for mean in half_means(halves, num_clips)])
    run.meter.saw(len(numbers), run.meter.work[bucket])
    if num_ranks > 1:
        totals = accelerator.reduce(totals, "mean")
    return totals


def _summed(run: TrainRun, micro: MicroBatch) -> AbstractContextManager[None]:
    """Sum the gradient over the processes after the last part only, where each holds the whole model."""
    model = run.denoiser.transformer
    is_early = isinstance(model, DistributedDataParallel) and not micro.is_last
    return run.accelerator.no_sync(model) if is_early else nullcontext()
