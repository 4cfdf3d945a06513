"""The numbers of the steps since the last log line, kept on the device and read in one transfer."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from videojam.training.log import Line


@dataclass
class Window:
    """Steps since the last log line.

    Attributes:
        read: Their numbers as far as the host has them: `step`, `loss`, `appearance`, `motion`, `grad_norm`, `bad`.
        waiting: Steps that only the device knows: number, λ, and a tensor of losses, norm and whether it was bad.
    """

    read: list[Line] = field(default_factory=list)
    waiting: list[tuple[int, float, Tensor]] = field(default_factory=list)

    def add(self, step: int, weight: float, losses: Tensor, norm: Tensor, bad: Tensor) -> None:
        """Take a step's numbers as they lie on the device.

        Args:
            step: Its number, from 1.
            weight: λ of Eq. 6.
            losses: Appearance, or appearance and motion.
            norm: Of the gradient, before clipping.
            bad: Whether the step was left out.
        """
        self.waiting.append(
            (step, weight, torch.cat([losses, torch.stack([norm.to(losses), bad.to(losses)])]))
        )

    def fetch(self) -> list[Line]:
        """Read what waits on the device, and return the lines that are new."""
        if not self.waiting:
            return []
        rows = torch.stack([numbers for _, _, numbers in self.waiting]).tolist()
        new = [_line(step, weight, row) for (step, weight, _), row in zip(self.waiting, rows, strict=True)]
        self.waiting.clear()
        self.read += new
        return new

    def summary(self) -> Line:
        """Return the means over the good steps since the last summary, none if all were bad, and begin anew."""
        good = [line for line in self.read if not line["bad"]]
        keys = [key for key in (good[0] if good else {}) if key not in ("step", "bad")]
        self.read = []
        return {key: round(sum(line[key] for line in good) / len(good), 6) for key in keys}


def _line(step: int, weight: float, row: list[float]) -> Line:
    *losses, norm, bad = row
    line: Line = {"step": step, "loss": losses[0] + weight * sum(losses[1:]), "appearance": losses[0]}
    if len(losses) == 2:
        line["motion"] = losses[1]
    return line | {"grad_norm": norm, "bad": bool(bad)}
