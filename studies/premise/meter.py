"""How well a device is used: operations of a step, by torch's counter, against the device's own, and its busy share.

The operations are those of the model's forward and backward on a batch (the optimiser's are not counted, as in MFU).
"""

from __future__ import annotations

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from studies.premise.arm import Arm

Marks = tuple[torch.Event, torch.Event]
SIDE, NUM_PRODUCTS = {"cuda": 8192, "cpu": 512}, 20


def flops_of_step(arm: Arm) -> int:
    """Count the operations of a step's forward and backward; the arm's state stays as it is."""
    arm.set_step(arm.num_steps, 0.0)
    with FlopCounterMode(display=False) as counter:
        loss_x, loss_d = arm.losses()
        (loss_x + arm.train.motion_weight * loss_d).backward()
    arm.model.zero_grad(set_to_none=True)
    return int(counter.get_total_flops())


def measured_rate(device: torch.device) -> float:
    """Return the operations a second of a large matrix product: bf16 on a GPU, float32 on a CPU."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    a = torch.randn(SIDE[device.type], SIDE[device.type], device=device, dtype=dtype)
    for _ in range(3):
        a @ a
    _wait(device)
    started = time.perf_counter()
    for _ in range(NUM_PRODUCTS):
        a @ a
    _wait(device)
    return 2 * len(a) ** 3 * NUM_PRODUCTS / (time.perf_counter() - started)


def seconds_and_busy(marks: list[Marks]) -> tuple[float, float]:
    """Return the seconds from step to step, and the share of them in which a step ran; the device must be done.

    Args:
        marks: Begin and end of steps that follow each other, by events on their stream.
    """
    whole = marks[0][0].elapsed_time(marks[-1][1])
    busy = sum(begin.elapsed_time(end) for begin, end in marks)
    return whole / 1000 / len(marks), busy / whole


def use_of_device(arms: list[Arm], flops: list[int], marks: list[list[Marks]], rate: float) -> str:
    """Say in a line what training takes of the device: clips and operations a second, and how much of the time.

    Args:
        arms: Trained beside each other.
        flops: Of a step of each.
        marks: Of each arm's steps.
        rate: What the device can do, from `measured_rate`.
    """
    found = [seconds_and_busy(pairs) for pairs in marks]
    done = sum(num / seconds for num, (seconds, _) in zip(flops, found, strict=True))
    clips = sum(arm.train.batch_size / seconds for arm, (seconds, _) in zip(arms, found, strict=True))
    busy = max(share for _, share in found)
    return (
        f"{clips:,.0f} clips/s, {done / 1e12:.2f} TFLOP/s, {done / rate:.0%} of the measured {rate / 1e12:.1f}; "
        f"a step runs in {busy:.0%} of the time"
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
