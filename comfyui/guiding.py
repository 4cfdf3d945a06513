"""Inner-Guidance on ComfyUI's predictions: what is asked in each step, and how it is combined.

ComfyUI's model returns the clean latent x0 that it predicts: x0 = x − σ·u for a flow model. The rule and the reuse are
those of `videojam.guidance`, on u = (x − x0) / σ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from videojam.guidance.config import Guidance
from videojam.guidance.halves import Halves
from videojam.guidance.reuse import DeltaReuse
from videojam.guidance.rules.rule import Predictions

POSITIVE, NEGATIVE = "positive", "negative"
Ask = Callable[[Tensor, Sequence[str]], Sequence[Tensor]]
"""Function of latents and names of conditionings that returns the clean latents predicted with each."""


class GuidedSteps:
    """One run of a sampler.

    Args:
        config: How to guide.
        num_channels: C.
        sigmas: The schedule, its last 0 included.
    """

    def __init__(self, config: Guidance, num_channels: int, sigmas: Tensor) -> None:
        self.config, self.halves = config, Halves(num_channels, dim=1)
        self.starts = [float(sigma) for sigma in sigmas[:-1]]
        times = [1 - sigma for sigma in self.starts]
        self.motion_steps = set(config.window.steps(times)) if config.uses_motion_branch else set()
        self.reuse = DeltaReuse(config.reuse_every)
        self._step = -1

    def step_of(self, sigma: float) -> int:
        """Return the step in which a sampler asks at a noise level; one of higher order asks within a step too."""
        begun = [i for i, start in enumerate(self.starts) if start >= sigma * (1 - 1e-6)]
        return begun[-1] if begun else 0

    def predict(self, ask: Ask, x: Tensor, sigma: float) -> Tensor:
        """Return the guided clean latent.

        Args:
            ask: The model.
            x: Noised joint latent `[B, 2C, F, H, W]`.
            sigma: Its noise level, above 0.
        """
        step = self.step_of(sigma)
        in_window = step in self.motion_steps
        if self.config.reuse_every > 1:
            fresh = self.reuse.fresh if step == self._step else self.reuse.begin(step, in_window, None)
            self._step = step
            if not fresh:
                return x - sigma * self.reuse.guided((x - ask(x, [POSITIVE])[0]) / sigma)
        u, plain, guided = self.velocities(ask, x, sigma, in_window)
        self.reuse.keep(plain - u, guided - plain)
        return x - sigma * guided

    def velocities(self, ask: Ask, x: Tensor, sigma: float, in_window: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return u(x, d, y), the prediction guided only by text, and the guided one.

        Args:
            ask: The model.
            x: Noised joint latent.
            sigma: Its noise level.
            in_window: Whether motion guides in this step.
        """
        rule, weights = self.config.rule, self.config.weights
        names = [POSITIVE, NEGATIVE] if weights.text else [POSITIVE]
        seen = Predictions(*((x - clean) / sigma for clean in ask(x, names)))
        plain = rule.combine(seen, weights)
        if not in_window:
            return seen.u, plain, plain
        null = self.halves.null(x)
        branch = (null - ask(null, [POSITIVE])[0]) / sigma
        guided = rule.combine(seen._replace(branch=branch), weights)
        if self.config.motion_on == "appearance":
            guided = self.halves.join(guided, plain)
        return seen.u, plain, guided


@cache
def guider_class() -> type:
    """Return the guider, a `CFGGuider` of the ComfyUI that runs."""
    import comfy.samplers

    class InnerGuider(comfy.samplers.CFGGuider):
        """ComfyUI's guider with both weights of Inner-Guidance; patches of its CFG do not act on it."""

        def set_guidance(self, config: Guidance, num_channels: int) -> None:
            self.guidance, self.num_channels = config, num_channels

        def sample(
            self, noise: Any, latent: Any, sampler: Any, sigmas: Tensor, *more: Any, **how: Any
        ) -> Any:
            self.steps = GuidedSteps(self.guidance, self.num_channels, sigmas)
            return super().sample(noise, latent, sampler, sigmas, *more, **how)

        def predict_noise(
            self,
            x: Tensor,
            timestep: Tensor,
            model_options: dict[str, Any] | None = None,
            seed: int | None = None,
        ) -> Tensor:
            def ask(latents: Tensor, names: Sequence[str]) -> Sequence[Tensor]:
                conds = [self.conds.get(name) for name in names]
                return comfy.samplers.calc_cond_batch(
                    self.inner_model, conds, latents, timestep, model_options or {}
                )

            return self.steps.predict(ask, x, float(timestep.flatten()[0]))

    return InnerGuider


class SeededNoise:
    """The noise of `videojam generate` for a seed: x's as the base draws it, d's from a generator of its own.

    Args:
        seed: As `videojam generate --seed`.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generate_noise(self, latent: dict[str, Any]) -> Tensor:
        """Draw noise of a joint latent's shape; clip i of a batch has seed + i."""
        from videojam.sampling.request import noise_generators

        num_clips, num_channels, *sizes = latent["samples"].shape
        generators = noise_generators([self.seed + i for i in range(num_clips)])
        halves = [
            torch.cat([torch.randn((1, num_channels // 2, *sizes), generator=own) for own in of_half])
            for of_half in generators
        ]
        return torch.cat(halves, dim=1)
