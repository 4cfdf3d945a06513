"""The training loop on accelerate: fp32 master weights, EMA, clipping, held-out losses, exact resume."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from videojam.data.encode import EncodedClip, read_batch
from videojam.errors import VideoJamError
from videojam.objective.config import ObjectiveConfig
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import Draws, draw, fixed_draws
from videojam.objective.loss import half_means, joint_loss
from videojam.training.batches import clips_of_step
from videojam.training.checkpoint import TrainState, save_checkpoint
from videojam.training.config import OptimizerConfig, TrainConfig
from videojam.training.new_rate import scaled_updates

Line = dict[str, Any]


def train_steps(
    config: TrainConfig,
    denoiser: Denoiser,
    accelerator: Accelerator,
    state: TrainState,
    masks: dict[str, Tensor],
    clips: list[EncodedClip],
    heldout: list[EncodedClip],
    on_line: Callable[[Line], None],
) -> None:
    """Run from `state.step` to the recipe's last step, writing checkpoints, log lines and held-out losses.

    Args:
        config: The recipe.
        denoiser: Transformer to train, with its family and null text.
        accelerator: Device, precision, processes.
        state: Where the run stands; changed in place.
        masks: New entries of the widened projections, by parameter name; empty for the control.
        clips: Training clips.
        heldout: Clips of the held-out losses.
        on_line: Called with every log line.

    Raises:
        VideoJamError: a loss or gradient is NaN (the last checkpoint stands), or a checkpoint can't be written.
    """
    recent: list[Line] = []
    started = time.perf_counter()
    if state.step == 0:
        on_line(validate(config, denoiser, accelerator, state, heldout))
    while state.step < config.num_steps:
        rate = learning_rate(config.optimizer, state.step, config.num_steps)
        for group in (group for optimizer in state.optimizers for group in optimizer.param_groups):
            group["lr"] = rate
        line = _backward(config, denoiser, accelerator, state.step, clips)
        norm = _clip(config, accelerator, state)
        if not math.isfinite(line["loss"]) or not math.isfinite(norm):
            raise VideoJamError(
                expected="a finite loss and gradient",
                found=f"loss {line['loss']}, gradient norm {norm}",
                where=f"step {state.step + 1}",
                fix="Lower the learning rate or look at this step's clips; the last checkpoint stands.",
            )
        with scaled_updates(state.parameters, masks, config.optimizer.new_rate_factor):
            for optimizer in state.optimizers:
                optimizer.step()
                optimizer.zero_grad()
        _average(state, config.ema_decay)
        state.step += 1
        recent.append(line | {"grad_norm": norm})
        if state.step % config.log_every == 0 or state.step == config.num_steps:
            seconds = (time.perf_counter() - started) / len(recent)
            on_line(_summary(recent, state, rate, seconds))
            recent, started = [], time.perf_counter()
        if state.step % config.validate_every == 0 or state.step == config.num_steps:
            on_line(validate(config, denoiser, accelerator, state, heldout))
            started = time.perf_counter()
        if (
            state.step % config.checkpoint_every == 0 or state.step == config.num_steps
        ) and accelerator.is_main_process:
            save_checkpoint(state, config.out, config.keep_checkpoints, config.model_dump(mode="json"))


def learning_rate(config: OptimizerConfig, step: int, num_steps: int) -> float:
    """Rate of a step: linear warm-up, then constant, or down to zero as a cosine or a line."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, num_steps - config.warmup_steps)
    factor = {
        "constant": 1.0,
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
        "linear": 1 - progress,
    }[config.schedule]
    return config.learning_rate * factor


def motion_weight(config: ObjectiveConfig, step: int, num_steps: int) -> float:
    """λ of a step: constant, or on a line from `motion_weight` at step 0 to `motion_weight_end` at `num_steps`."""
    if config.motion_weight_end is None:
        return config.motion_weight
    return config.motion_weight + (config.motion_weight_end - config.motion_weight) * step / num_steps


def autocast(config: TrainConfig, accelerator: Accelerator) -> torch.autocast:
    """Compute in bf16 where the recipe says so; the weights stay fp32."""
    return torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16")


@torch.no_grad()
def validate(
    config: TrainConfig,
    denoiser: Denoiser,
    accelerator: Accelerator,
    state: TrainState,
    heldout: list[EncodedClip],
) -> Line:
    """Measure held-out losses of the average weights at fixed times and noise, appearance and motion apart."""
    line: Line = {"step": state.step}
    halves = ("appearance", "motion") if denoiser.is_joint else ("appearance",)
    with averaged(state):
        low, high = denoiser.sigma_range
        for t in (t for t in config.validate_t if low <= 1 - t <= high):
            sums = torch.zeros(len(halves))
            for start in range(0, len(heldout), config.batch_size):
                batch = read_batch(heldout[start : start + config.batch_size], accelerator.device)
                draws = fixed_draws(start, len(batch.x), t, batch.x.shape[1:]).to(accelerator.device)
                with autocast(config, accelerator):
                    losses = denoiser.losses(batch, draws)
                sums += torch.stack([loss.sum().cpu() for loss in losses])
            for half, total in zip(halves, sums.tolist(), strict=True):
                line[f"heldout_{half}@{t:g}"] = round(total / len(heldout), 6)
    return line


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


def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])


def _backward(
    config: TrainConfig, denoiser: Denoiser, accelerator: Accelerator, step: int, clips: list[EncodedClip]
) -> Line:
    """Accumulate the gradients of one step over this process's share of the global batch."""
    numbers = clips_of_step(len(clips), config.batch_size, config.seed, step)
    share = range(accelerator.process_index, config.batch_size, accelerator.num_processes)
    size = math.ceil(len(share) / config.accumulation)
    weight = motion_weight(config.objective, step, config.num_steps)
    totals = [0.0, 0.0]
    draws: Draws | None = None
    for start in range(0, len(share), size):
        rows = list(share[start : start + size])
        batch = read_batch([clips[numbers[row]] for row in rows], accelerator.device)
        if draws is None:
            shape = tuple(batch.x.shape[1:])
            draws = draw(config.objective, config.seed, step, config.batch_size, shape, denoiser.sigma_range)
        with autocast(config, accelerator):
            losses = denoiser.losses(batch, draws.rows(rows).to(accelerator.device))
        accelerator.backward(joint_loss(losses, weight, len(share)))
        means = half_means(losses, len(share))
        totals = [
            total + float(mean.detach())
            for total, mean in zip(totals, [*means, torch.zeros(())], strict=False)
        ]
    if accelerator.num_processes > 1:
        totals = accelerator.reduce(torch.tensor(totals, device=accelerator.device), "mean").tolist()
    line = {"loss": totals[0] + weight * totals[1], "appearance": totals[0]}
    return line | ({"motion": totals[1]} if denoiser.is_joint else {})


def _clip(config: TrainConfig, accelerator: Accelerator, state: TrainState) -> float:
    """Clip the gradient, count clipped steps, and return the norm before clipping."""
    limit = config.optimizer.clip_norm
    norm = float(accelerator.clip_grad_norm_(state.parameters.values(), limit or math.inf))
    state.counts["steps"] = state.counts.get("steps", 0) + 1
    state.counts["clipped"] = state.counts.get("clipped", 0) + int(limit is not None and norm > limit)
    return norm


@torch.no_grad()
def _average(state: TrainState, decay: float) -> None:
    """Move the average towards the weights, faster in the first steps: decay ≤ (1 + n) / (10 + n)."""
    if state.ema:
        decay = min(decay, (1 + state.step) / (10 + state.step))
        torch._foreach_lerp_(
            list(state.ema.values()), [p.detach() for p in state.parameters.values()], 1 - decay
        )


def _summary(recent: list[Line], state: TrainState, rate: float, seconds: float) -> Line:
    means = {key: round(sum(line[key] for line in recent) / len(recent), 6) for key in recent[0]}
    clipped = round(state.counts["clipped"] / state.counts["steps"], 4)
    return {
        "step": state.step,
        **means,
        "clipped_share": clipped,
        "learning_rate": rate,
        "step_s": round(seconds, 4),
    }


class Log:
    """The run's `log.jsonl`; on resume, lines past the checkpoint are dropped, as they will be written again."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= step] if step else []
        path.write_text("".join(line + "\n" for line in kept))

    def write(self, line: Line) -> None:
        """Append one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
