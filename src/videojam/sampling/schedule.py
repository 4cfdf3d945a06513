"""Sampling schedules: the base's own, or Euler steps on the paper's linear-quadratic one."""

from __future__ import annotations

from typing import Any, Literal

from videojam.errors import VideoJamError
from videojam.families.stock import is_of_flow

Schedule = Literal["base", "linear_quadratic"]
THRESHOLD = 0.025
"""t at the middle step of the linear-quadratic schedule."""


def linear_quadratic_sigmas(num_steps: int) -> list[float]:
    """Return σ at the start of each step: t rises linearly to a threshold, then quadratically to 1.

    The first half of the steps covers t in 0..0.025, in equal parts; the second continues with the same slope
    and ends at t = 1 (Movie Gen, arXiv 2410.13720; open code of Mochi and LTX).

    Args:
        num_steps: Number of steps.
    """
    if num_steps < 2:
        return [1.0] * num_steps
    half = num_steps // 2
    rest = num_steps - half
    slope = THRESHOLD / half
    curvature = (1 - THRESHOLD - slope * rest) / rest**2
    quadratic = (THRESHOLD + slope * i + curvature * i**2 for i in range(rest))
    return [1 - t for t in (*(slope * i for i in range(half)), *quadratic)]


def build_scheduler(scheduler: Any, schedule: Schedule = "base", shift: float | None = None) -> Any:
    """Return a fresh scheduler for one sampling run.

    Args:
        scheduler: The base's own scheduler; it isn't changed.
        schedule: The base's own, or linear-quadratic (with Euler steps and no shift).
        shift: Flow shift in place of the base's.

    Raises:
        VideoJamError: the schedule has no shift to change.
    """
    config = scheduler.config
    if schedule == "linear_quadratic" and not is_of_flow(scheduler):
        raise VideoJamError(
            expected="the base's own schedule, as the base is not a flow model",
            found="linear_quadratic",
            where="schedule",
            fix="Leave the schedule out.",
        )
    dynamic = config.get("use_dynamic_shifting", False)
    shift_key = next((key for key in ("flow_shift", "shift") if key in config and not dynamic), None)
    if shift is not None and (shift_key is None or schedule == "linear_quadratic"):
        raise VideoJamError(
            expected="a schedule with a flow shift",
            found="linear_quadratic" if shift_key else type(scheduler).__name__,
            where="shift",
            fix="Leave the shift out.",
        )
    if schedule == "linear_quadratic":
        from videojam.sampling.linear_quadratic import LinearQuadraticEuler

        return LinearQuadraticEuler(shift=1.0, invert_sigmas=config.get("invert_sigmas", False))
    changed = {} if shift is None else {str(shift_key): shift}
    return type(scheduler).from_config(config, **changed)
