"""The scheduler of the linear-quadratic schedule; apart, as importing its stock class takes seconds."""

from __future__ import annotations

from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler

from videojam.sampling.schedule import linear_quadratic_sigmas


class LinearQuadraticEuler(FlowMatchEulerDiscreteScheduler):
    """Euler steps on the linear-quadratic schedule, for pipelines that only name a number of steps."""

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Any = None,
        mu: Any = None,
        **ignored: Any,
    ) -> None:
        """Set the schedule; σ given by the pipeline, and its shift, are not used."""
        if num_inference_steps is None:
            num_inference_steps = len(sigmas)
        super().set_timesteps(  # type: ignore[misc]
            sigmas=linear_quadratic_sigmas(num_inference_steps), device=device
        )
