"""Motion ahead of appearance, in a model whose d has a noise level of its own.

    1 − t_d = (1 − t)^lead, so σ_d = σ^lead

Both halves start at noise and end at data; d starts `lead` times as fast, and each takes steps of its own length.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families import Family
from videojam.families.stock import is_of_flow


def motion_time(t: float, lead: float) -> float:
    """Return t_d = 1 − (1 − t)^lead, where d is when x is at t."""
    return t if lead == 1 else 1 - (1 - t) ** lead


def require_own_noise(lead: float, family: Family, where: str = "lead") -> None:
    """Refuse a lead of a model whose motion has the noise level of x.

    Args:
        lead: As it was asked for.
        family: Of the model, with what its record says of noise.
        where: The model, for the message.

    Raises:
        VideoJamError: d can't be at another level than x.
    """
    if lead != 1 and not family.has_level:
        raise VideoJamError(
            expected="lead = 1, as motion has the noise level of x (motion.noise: same)",
            found=f"lead = {lead:g}",
            where=where,
            fix="Leave lead out, or train a model with motion.noise: own.",
        )


def _require_flow(scheduler: Any, lead: float) -> None:
    """Refuse the scheduler of a base that is not a flow model.

    Raises:
        VideoJamError: it has no noise levels σ.
    """
    if not is_of_flow(scheduler) or not hasattr(scheduler, "sigmas"):
        raise VideoJamError(
            expected="lead = 1, as the base is not a flow model, whose steps have noise levels σ",
            found=f"lead = {lead:g} with {type(scheduler).__name__}",
            where="lead",
            fix="Leave lead out.",
        )


def motion_scheduler(scheduler: Any, lead: float) -> Any:
    """Return a copy of a scheduler with its timesteps set, for d: at each step its level is σ^lead.

    Raises:
        VideoJamError: the scheduler is not that of a flow model.
    """
    _require_flow(scheduler, lead)
    of_d = copy.deepcopy(scheduler)
    if scheduler.config.get("invert_sigmas", False):  # Mochi's σ is the paper's t
        of_d.sigmas = 1 - (1 - scheduler.sigmas) ** lead
    else:
        of_d.sigmas = scheduler.sigmas**lead
    return of_d


@contextmanager
def leading(pipe: Any, lead: float, channel_dim: int) -> Iterator[None]:
    """Let a pipeline's scheduler step d at its own levels for a while.

    Args:
        pipe: Stock pipeline of a joint model.
        lead: How far d is ahead; 1 changes nothing.
        channel_dim: Axis of the channels of packed latents; that of `[B, 2C, F, H, W]` is 1.
    """
    if lead == 1:
        yield
        return
    own = pipe.scheduler
    pipe.scheduler = _by_halves(own, lead, channel_dim)
    try:
        yield
    finally:
        pipe.scheduler = own


def _by_halves(scheduler: Any, lead: float, channel_dim: int) -> Any:
    """Return a scheduler of the same class that steps x as before, and d by a scheduler with levels of its own."""
    _require_flow(scheduler, lead)
    kind: Any = type(scheduler)

    class Leading(kind):
        of_d: Any = None
        set_for: Any = None

        def __deepcopy__(self, memo: dict[int, Any]) -> Any:
            """Return the base's own: a pipeline's copy is for what has no motion (LTX-2's sound)."""
            return kind.from_config(self.config)

        def step(self, output: Tensor, timestep: Any, sample: Tensor, **kwargs: Any) -> Any:
            if self.set_for is not self.timesteps:  # the first step since the timesteps were set
                of_x = kind.from_config(self.config)
                of_x.__dict__.update({k: v for k, v in self.__dict__.items() if k not in ("of_d", "set_for")})
                self.of_d, self.set_for = motion_scheduler(of_x, lead), self.timesteps
            dim = 1 if sample.ndim == 5 else channel_dim
            (u_x, u_d), (x, d) = output.chunk(2, dim=dim), sample.chunk(2, dim=dim)
            kwargs["return_dict"] = False
            x = super().step(u_x, timestep, x, **kwargs)[0]
            d = self.of_d.step(u_d, timestep, d, **kwargs)[0]
            return (torch.cat([x, d], dim=dim),)

    by_halves = Leading.from_config(scheduler.config)
    by_halves.__dict__.update(scheduler.__dict__)
    return by_halves
