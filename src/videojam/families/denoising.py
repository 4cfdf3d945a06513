"""The time convention, the training target and one call of the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.first_frame import FIRST, with_first_frame
from videojam.families.projections import Projections
from videojam.families.stock import Pipeline, Scheduler, Transformer
from videojam.families.training_times import TrainingTimes, times_of

Conditioning = dict[str, Tensor]
Generators = tuple[list[torch.Generator], list[torch.Generator]]
"""Of x and of d, one for each clip."""

_Denoising = TypeVar("_Denoising", bound="Denoising")


@dataclass(frozen=True)
class Denoising(Projections, ABC):
    """How a network is asked; by default that of a flow model with latents `[B, C, F, H, W]`.

    x_σ = (1−σ)x + σε, the network predicts ε − x (minus the paper's velocity) and reads the timestep 1000σ.

    Attributes:
        num_train_timesteps: Scale of the network's time.
    """

    num_train_timesteps: int = 1000

    def mixture(self, sigma: float) -> tuple[float, float]:
        """Return (a, b) of x_σ = a·x + b·ε."""
        return 1 - sigma, sigma

    def noised(self, x: Tensor, eps: Tensor, sigma: Float[Tensor, " b"]) -> Tensor:
        """Noise clean latents: x_σ = (1−σ)·x + σ·ε."""
        sigma = sigma.reshape(-1, *[1] * (x.ndim - 1))
        return (1 - sigma) * x + sigma * eps

    def target(self, x: Tensor, eps: Tensor, sigma: Float[Tensor, " b"]) -> Tensor:
        """Return what the network must predict at x_σ, in the family's own sign: ε − x."""
        return eps - x

    @abstractmethod
    def denoise(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> Tensor:
        """Call the network once on noised latents and return its prediction in the family's own sign.

        Args:
            transformer: Base or joint transformer.
            xd_sigma: Noised latents `[B, C or 2C, F, H, W]`; 2C + 1 with d's noise level behind d.
            sigma: Noise level in 0..1 (the paper's time is t = 1 − σ).
            cond: Output of `encode_prompts` and `encode_image`, one row for each sample.
        """

    def denoise_beside(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> tuple[Tensor, Conditioning]:
        """Call the network as sampling does; return its prediction, and those of what `draw_beside` drew."""
        return self.denoise(transformer, xd_sigma, sigma, cond), {}

    def draw_beside(self, pipe: Pipeline, generators: list[torch.Generator], num_frames: int) -> Conditioning:
        """Draw the noise of what the stock pipeline denoises beside the latents, after theirs; here of nothing.

        Args:
            pipe: Stock pipeline.
            generators: Of x, one for each clip, as drawing the noise of x left them.
            num_frames: Frames of a clip.

        Returns:
            By the names under which `denoise_beside` reads them among the conditions.
        """
        return {}

    def num_given_frames(self, cond: Conditioning) -> int:
        """Return how many latent frames, from the first on, are given and not noised: outside the loss."""
        return 1 if FIRST in cond else 0

    def finished(self, latents: Tensor, cond: Conditioning) -> Tensor:
        """Return final latents with what was given put back, as the stock pipeline returns them."""
        return with_first_frame(latents, cond[FIRST]) if FIRST in cond else latents

    def training_times(self, scheduler: Scheduler) -> TrainingTimes:
        """Return how the base's own training draws times: a flow model's, logit-normal and shifted as its sampling."""
        return times_of(scheduler)

    def min_snr_weight(self, sigma: Float[Tensor, " b"], gamma: float) -> Float[Tensor, " b"]:
        """Return the weight of each clip's error by min-SNR-γ, of v-prediction.

        Raises:
            VideoJamError: the network predicts a flow.
        """
        raise VideoJamError(
            expected="a base that predicts v (CogVideoX), whose loss min-SNR weights",
            found=f"{self.transformer_class}, which predicts {self.prediction}",
            where="objective.min_snr_gamma",
            fix="Leave min_snr_gamma out; t_sampling decides which times of a flow count more.",
        )

    def paper_times(self, scheduler: Scheduler) -> Float[Tensor, " steps"]:
        """Return the paper's t (0 noise, 1 data) at which each sampling step of a set scheduler starts."""
        return 1 - scheduler.sigmas[: len(scheduler.timesteps)].float().cpu()

    def sigma_of(self, timestep: Tensor) -> Tensor:
        """Return σ of a scheduler's timestep."""
        return timestep / self.num_train_timesteps

    def sigma_range(self, pipe: Pipeline, component: str) -> tuple[float, float]:
        """Return the σ that a transformer is in charge of, from and to."""
        return 0.0, 1.0

    def transformer_at(self, pipe: Pipeline, timestep: float) -> Transformer:
        """Return the transformer that is in charge of a timestep (mixtures of experts have two)."""
        return self.first_transformer(pipe)

    def for_sampling(self: _Denoising) -> _Denoising:
        """Return the family as sampling calls the network, where training calls it differently."""
        return self

    def set_timesteps(self, pipe: Pipeline, num_steps: int, latents: Tensor) -> None:
        """Set the scheduler as the stock pipeline does for these latents."""
        pipe.scheduler.set_timesteps(num_steps, device=latents.device)

    def stepper(
        self, scheduler: Scheduler, generators: Generators
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """Return a function of (prediction, timestep, latents) that takes one step of a run."""
        return lambda prediction, timestep, latents: scheduler.step(
            prediction, timestep, latents, return_dict=False
        )[0]
