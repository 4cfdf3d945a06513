"""The training loop on accelerate: fp32 master weights, average, clipping, held-out losses, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from videojam.data.encode import read_batch
from videojam.objective.draws import Draws, draw
from videojam.objective.loss import half_means, joint_loss
from videojam.training.batches import clips_of_step
from videojam.training.checkpoint import save_checkpoint
from videojam.training.ema import move_average
from videojam.training.finite import non_finite
from videojam.training.log import Line
from videojam.training.new_rate import scaled_updates
from videojam.training.schedule import learning_rate, motion_weight
from videojam.training.state import TrainRun
from videojam.training.stop import StopRequest
from videojam.training.validation import validate


def train_steps(run: TrainRun, on_line: Callable[[Line], None], stop: StopRequest) -> None:
    """Run from `state.step` to the recipe's last step, writing checkpoints, log lines and held-out losses.

    Args:
        run: What is trained, on what and how.
        on_line: Called with every log line.
        stop: Where the user's wish to stop is seen; the step at hand is finished and saved first.

    Raises:
        VideoJamError: a loss or gradient is NaN (the last checkpoint is whole), or a checkpoint can't be written.
    """
    config, state = run.config, run.state
    recent: list[Line] = []
    started = time.perf_counter()
    if state.step == 0:
        on_line(validate(run))
    while state.step < config.num_steps:
        rate = learning_rate(config.optimizer, state.step, config.num_steps)
        line, stopping = _step(run, rate, stop)
        recent.append(line)
        last = state.step == config.num_steps
        if last or stopping or state.step % config.log_every == 0:
            on_line(_summary(recent, run, rate, (time.perf_counter() - started) / len(recent)))
            recent, started = [], time.perf_counter()
        if last or state.step % config.validate_every == 0:
            on_line(validate(run))
            started = time.perf_counter()
        if last or stopping or state.step % config.checkpoint_every == 0:
            _save(run)
        if stopping and not last:
            break


def _step(run: TrainRun, rate: float, stop: StopRequest) -> tuple[Line, bool]:
    """Take one step; return its losses and gradient norm, and whether any process was asked to stop."""
    config, state = run.config, run.state
    for group in (group for optimizer in state.optimizers for group in optimizer.param_groups):
        group["lr"] = rate
    numbers = clips_of_step(run.buckets, config.batch_size, config.seed, state.step)
    line, stopping = _backward(run, numbers, stop)
    norm = _clip(run)
    if not math.isfinite(line["loss"]) or not math.isfinite(norm):
        found = f"loss {line['loss']}, gradient norm {norm}"
        raise non_finite(run, found, [run.clips[number] for number in numbers])
    with scaled_updates(state.parameters, run.masks, config.optimizer.new_rate_factor):
        for optimizer in state.optimizers:
            optimizer.step()
            optimizer.zero_grad()
    move_average(state, config.ema_decay)
    state.step += 1
    return line | {"grad_norm": norm}, stopping


def _backward(run: TrainRun, numbers: list[int], stop: StopRequest) -> tuple[Line, bool]:
    """Accumulate the gradients of one step over this process's share of the global batch.

    Returns:
        The losses, and whether any process was asked to stop.
    """
    config, accelerator, step = run.config, run.accelerator, run.state.step
    share = range(accelerator.process_index, config.batch_size, accelerator.num_processes)
    size = math.ceil(len(share) / config.accumulation)
    weight = motion_weight(config.objective, step, config.num_steps)
    totals = [0.0, 0.0]
    draws: Draws | None = None
    for start in range(0, len(share), size):
        rows = list(share[start : start + size])
        batch = read_batch([run.clips[numbers[row]] for row in rows], accelerator.device)
        if draws is None:
            shape, sigma_range = tuple(batch.x.shape[1:]), run.denoiser.sigma_range
            draws = draw(config.objective, config.seed, step, config.batch_size, shape, sigma_range)
        with run.autocast():
            halves = run.denoiser.losses(batch, draws.rows(rows).to(accelerator.device))
        accelerator.backward(joint_loss(halves, weight, len(share)))
        for half, mean in enumerate(half_means(halves, len(share))):
            totals[half] += float(mean.detach())
    stopping = stop.asked
    if (
        accelerator.num_processes > 1
    ):  # the wish to stop travels with the losses: all stop after the same step
        shared = torch.tensor([*totals, float(stopping)], device=accelerator.device)
        *totals, asked = accelerator.reduce(shared, "mean").tolist()
        stopping = asked > 0
    line = {"loss": totals[0] + weight * totals[1], "appearance": totals[0]}
    return line | ({"motion": totals[1]} if run.denoiser.is_joint else {}), stopping


def _clip(run: TrainRun) -> float:
    """Clip the gradient, count clipped steps, and return the norm before clipping."""
    limit, counts = run.config.optimizer.clip_norm, run.state.counts
    norm = float(run.accelerator.clip_grad_norm_(run.state.parameters.values(), limit or math.inf))
    counts["steps"] = counts.get("steps", 0) + 1
    counts["clipped"] = counts.get("clipped", 0) + int(limit is not None and norm > limit)
    return norm


def _summary(recent: list[Line], run: TrainRun, rate: float, seconds: float) -> Line:
    """Write the log line of the steps since the last one: means of the losses, and how the steps went."""
    counts = run.state.counts
    means = {key: round(sum(line[key] for line in recent) / len(recent), 6) for key in recent[0]}
    return {
        "step": run.state.step,
        **means,
        "clipped_share": round(counts["clipped"] / counts["steps"], 4),
        "learning_rate": rate,
        "step_s": round(seconds, 4),
    }


def _save(run: TrainRun) -> None:
    if run.accelerator.is_main_process:
        config = run.config
        save_checkpoint(run.state, config.out, config.keep_checkpoints, config.model_dump(mode="json"))
