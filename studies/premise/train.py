"""Training one or several arms in lockstep, with measurements on the way and a limit on the clock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from studies.premise.arm import Arm
from studies.premise.config import ARM_KEY, TrainConfig
from studies.premise.graph import NUM_MARKED, Runner
from studies.premise.heldout import TIMES, HeldOut, heldout_losses
from studies.premise.meter import flops_of_step, measured_rate, use_of_device
from studies.premise.rules import Rule
from studies.premise.sample import coherence, sample
from videojam.files import renamed, write_text

SYNC_EVERY = 50
RATE_STEPS = 200


@dataclass
class Plan:
    """How long, and what is measured on the way.

    Attributes:
        num_steps: Steps; None takes as many as fit into `minutes`, judged by the first `RATE_STEPS`.
        minutes: Stops by itself after this.
        num_measures: Measurements, evenly spread; the last is at the end.
        rules: Rules sampled at each measurement, plain ones for plain arms.
        num_clips: Clips sampled for each rule.
        snapshots: Steps at which the average is kept under `NAME-STEP`.
        snapshot_share: The same, as a share of the steps; 0 keeps none.
        decays: Whether the rate falls at the end.
        save_minutes: Time between full states; the last is always saved.
    """

    minutes: float
    num_steps: int | None = None
    num_measures: int = 10
    rules: tuple[Rule, ...] = (Rule(),)
    num_clips: int = 256
    snapshots: tuple[int, ...] = ()
    snapshot_share: float = 0.0
    decays: bool = True
    save_minutes: float = 10.0
    log: Callable[[str], None] = field(default=print)


def rate_at(train: TrainConfig, step: int, num_steps: int, decays: bool = True) -> float:
    """Return the rate: a linear rise, a plateau, a linear fall to 0."""
    rise = min(1.0, (step + 1) / train.warmup_steps)
    fall = min(1.0, (num_steps - step) / (train.decay_share * num_steps)) if decays else 1.0
    return train.rate * rise * fall


def train_arms(arms: list[Arm], folder: Path, plan: Plan, data: HeldOut, compiled: bool) -> int:
    """Train arms in lockstep, so that each has the same steps when the clock stops; returns the steps done.

    Averages are saved as `NAME.safetensors`, full states as `NAME.state.safetensors`, curves as
    `NAME.curve.jsonl`. A run that finds states resumes from them, bit for bit.
    """
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    for arm in arms:
        _resume(arm, folder)
    on_gpu = arms[0].bed.device.type == "cuda"
    flops = [flops_of_step(arm) for arm in arms] if on_gpu else []  # eager, so before compiling
    runners = [Runner(arm, compiled, plan.log) for arm in arms]
    plan.log(f"{[f'{r.arm.config.name}: {r.how}' for r in runners]} after {time.monotonic() - started:.0f} s")
    num_steps, timed, saved = plan.num_steps, time.monotonic(), time.monotonic()
    snapshots = {*plan.snapshots, *([int(plan.snapshot_share * num_steps)] if num_steps else [])} - {0}
    first, measured = arms[0].num_steps, arms[0].num_steps
    step = first
    while num_steps is None or step < num_steps:
        for runner in runners:
            runner.advance(rate_at(arms[0].train, step, num_steps or 10**9, plan.decays))
        step += 1
        if step % SYNC_EVERY and step != num_steps and step not in snapshots:
            continue
        _wait(arms[0])
        if on_gpu and step - first == NUM_MARKED:
            rate = measured_rate(arms[0].bed.device)
            plan.log(use_of_device(arms, flops, [runner.marks for runner in runners], rate))
        now = time.monotonic()
        if num_steps is None and step - first >= RATE_STEPS:
            num_steps = _steps_that_fit(plan, first, step, timed, started)
            snapshots |= {int(plan.snapshot_share * num_steps)}
            plan.log(f"{(step - first) / (now - timed):.1f} steps/s, so {num_steps} steps")
        if step in snapshots:
            _save_averages(arms, folder, f"-{step}")
        late = now - started > 60 * plan.minutes
        due = num_steps is not None and _passes(step, measured, num_steps, plan.num_measures)
        if due or late or step == num_steps:
            _measure(arms, folder, plan, data, step, now - started)
            measured = step
        if now - saved > 60 * plan.save_minutes:
            _save_states(arms, folder)
            saved = now
        if late:
            plan.log(f"stopped by the clock at step {step}")
            break
    _save_averages(arms, folder, "")
    _save_states(arms, folder)
    return step


def _passes(step: int, measured: int, num_steps: int, num_measures: int) -> bool:
    """Whether a measurement is due since the last: at the same steps whether a run was resumed or not."""
    return step * num_measures // num_steps > measured * num_measures // num_steps


def _steps_that_fit(plan: Plan, first: int, step: int, timed: float, started: float) -> int:
    """Judge by the first steps how many fit; a measurement is guessed at 1.5 s."""
    now = time.monotonic()
    left = 60 * plan.minutes - (now - started) - 1.5 * plan.num_measures
    return step + max(0, int(0.97 * left * (step - first) / (now - timed)))


def _measure(arms: list[Arm], folder: Path, plan: Plan, data: HeldOut, step: int, seconds: float) -> None:
    for arm in arms:
        row: dict[str, object] = {"step": step, "seconds": round(seconds, 1), **arm.mean_losses()}
        row |= heldout_losses(arm.average, data.with_gain(arm.bed.config.gain))
        for rule in plan.rules:
            if _fits(rule, arm):
                flags = coherence(arm.bed, sample(arm.bed, arm.average, rule, plan.num_clips, noise_seed=100))
                row[rule.name] = {key: round(float(flag.float().mean()), 4) for key, flag in flags.items()}
        with (folder / f"{arm.config.name}.curve.jsonl").open("a") as curve:
            curve.write(json.dumps(row) + "\n")
        plan.log(summary(arm.config.name, row))


def _fits(rule: Rule, arm: Arm) -> bool:
    """Whether a rule can be asked of an arm: motion guidance of a joint one, a lead of noise of d's own."""
    return arm.has_own_noise or (rule.lead == 1 and (arm.is_joint or rule == Rule(w_text=rule.w_text)))


def summary(name: str, row: dict[str, Any]) -> str:
    """Return a measurement as a line: means over t of the losses, some ratios at t = 0.3, 0.5, 0.7."""
    at = [TIMES.index(t) for t in (0.3, 0.5, 0.7)]

    def three(key: str) -> str:
        return "/".join(f"{row[key][index]:.2f}" for index in at)

    line = f"{name} {row['step']} {row['seconds']}s x {sum(row['x']) / len(row['x']):.4f} "
    line += f"moving {three('moving')} still {three('static_share')} permuted {three('permuted')}"
    if "d" in row:
        line += f" d {sum(row['d']) / len(row['d']):.4f} w* {three('w_star')}"
    shares = {key: value for key, value in row.items() if isinstance(value, dict)}
    return line + "".join(
        f" | {key} {100 * value['coherent']:.1f} % ({value['explained']:.2f})"
        for key, value in shares.items()
    )


def _wait(arm: Arm) -> None:
    if arm.bed.device.type == "cuda":
        torch.cuda.synchronize()


def _save_averages(arms: list[Arm], folder: Path, suffix: str) -> None:
    for arm in arms:
        with renamed(folder / f"{arm.config.name}{suffix}.safetensors") as unfinished:
            weights = {k: v.contiguous() for k, v in arm.average.state_dict().items()}
            save_file(weights, unfinished, metadata={ARM_KEY: arm.config.model_dump_json()})


def _save_states(arms: list[Arm], folder: Path) -> None:
    for arm in arms:
        state = {name: value.contiguous() for name, value in arm.state()}
        state["num_steps"] = torch.tensor(arm.num_steps)
        with renamed(folder / f"{arm.config.name}.state.safetensors") as unfinished:
            save_file(state, unfinished)
        write_text(folder / f"{arm.config.name}.arm.json", arm.config.model_dump_json(indent=2) + "\n")


def _resume(arm: Arm, folder: Path) -> None:
    file = folder / f"{arm.config.name}.state.safetensors"
    if file.exists():
        state = load_file(file, device=str(arm.bed.device))
        arm.num_steps = int(state.pop("num_steps"))
        arm.load_state(state)
