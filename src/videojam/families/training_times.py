"""How a base's own training draws times, as far as its scheduler shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from videojam.families.stock import Scheduler

LINE = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.15}
"""Keys of a shift that depends on the number of tokens, with what the stock pipelines take where they are missing."""


@dataclass(frozen=True)
class TrainingTimes:
    """A distribution of times.

    Attributes:
        density: Of t, before the shift.
        shift: Of σ ← shift·σ / (1 + (shift−1)·σ).
        line: Two points (tokens, log of the shift) of a line, for a shift that depends on the number of tokens.
    """

    density: Literal["uniform", "logit_normal"] = "logit_normal"
    shift: float = 1.0
    line: tuple[tuple[float, float], tuple[float, float]] | None = None

    def shift_at(self, num_tokens: int) -> float:
        """Return the shift for a clip of so many tokens."""
        if self.line is None:
            return self.shift
        (low, below), (high, above) = self.line
        return math.exp(below + (above - below) * (num_tokens - low) / (high - low))


def times_of(scheduler: Scheduler) -> TrainingTimes:
    """Return logit-normal times, shifted as a flow scheduler shifts those of sampling."""
    config = scheduler.config
    if config.get("use_dynamic_shifting"):
        low, high, below, above = (float(config.get(name, value)) for name, value in LINE.items())
        return TrainingTimes(line=((low, below), (high, above)))
    return TrainingTimes(shift=float(config.get("flow_shift") or config.get("shift") or 1.0))
