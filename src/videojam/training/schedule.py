"""What changes along a run by plan: the learning rate, and λ of Eq. 6."""

from __future__ import annotations

import math

from videojam.objective.config import ObjectiveConfig
from videojam.training.config import OptimizerConfig


def learning_rate(config: OptimizerConfig, step: int, num_steps: int) -> float:
    """Return the rate of a step: linear warm-up, then constant, or down to zero as a cosine or a line."""
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
    """Return λ of a step: constant, or on a line from `motion_weight` at step 0 to `motion_weight_end` at the last."""
    if config.motion_weight_end is None:
        return config.motion_weight
    return config.motion_weight + (config.motion_weight_end - config.motion_weight) * step / num_steps
