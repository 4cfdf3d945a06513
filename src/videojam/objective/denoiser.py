"""One forward of the objective (Eq. 6), for a joint model or for the control."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from videojam.families import Conditioning, Family
from videojam.families.stock import Transformer
from videojam.families.training_times import TrainingTimes
from videojam.joint.batch import Batch
from videojam.joint.latents import join, null_motion, with_level
from videojam.objective.draws import Draws
from videojam.objective.loss import half_losses
from videojam.objective.moving import MovingWeight


@dataclass(frozen=True)
class Denoiser:
    """A transformer with what it takes to call it in training.

    Attributes:
        transformer: Base or joint.
        family: Its family.
        is_joint: Whether it predicts motion too.
        null_text: Denoiser keywords of the null text, `[1, L, D]` each.
        sigma_range: Noise levels that the transformer is in charge of.
        moving: Of a plain model, how the appearance error is weighted by motion; None counts every place alike.
        min_snr_gamma: γ by which the errors of both halves are weighted; None counts every time alike.
        times: How the base's own training draws times.
    """

    transformer: Transformer
    family: Family
    is_joint: bool
    null_text: Conditioning
    sigma_range: tuple[float, float] = (0.0, 1.0)
    moving: MovingWeight | None = None
    min_snr_gamma: float | None = None
    times: TrainingTimes = TrainingTimes()  # noqa: RUF009 - frozen

    def losses(self, batch: Batch, draws: Draws) -> list[Tensor]:
        """Return [appearance loss] or [appearance loss, motion loss], each `[B]`.

        Both halves share the time, unless d has a noise level of its own; their noises are independent. Where
        motion is dropped, the network's motion input is zeros (not a noised zero), and both targets stay. Frames
        that are given (timestep 0) are outside both losses.
        """
        family = self.family
        text = self.replace_text(batch.text, draws.drop_text)
        num_given = family.num_given_frames(text)
        target = family.target(batch.x, draws.eps_x, draws.sigma)
        if self.is_joint:
            target = join(target, family.target(batch.d, draws.eps_d, self._sigma_d(draws)))
        prediction = family.denoise(self.transformer, self.noised(batch, draws), draws.sigma, text)
        weight = None if self.moving is None else self.moving.of(batch.d)[:, :, num_given:]
        num_halves = 2 if self.is_joint else 1
        halves = half_losses(prediction[:, :, num_given:], target[:, :, num_given:], num_halves, weight)
        return self._weighted(halves, draws)

    def _weighted(self, halves: list[Tensor], draws: Draws) -> list[Tensor]:
        """Weight each clip's errors by min-SNR, where the recipe says so."""
        if self.min_snr_gamma is None:
            return halves
        levels = (draws.sigma, self._sigma_d(draws))
        return [
            half * self.family.min_snr_weight(sigma, self.min_snr_gamma)
            for half, sigma in zip(halves, levels, strict=False)
        ]

    def noised(self, batch: Batch, draws: Draws) -> Tensor:
        """Return what the network reads: x_t; of a joint model [x_t, d_t], with t_d behind if d has its own level."""
        family = self.family
        x = family.noised(batch.x, draws.eps_x, draws.sigma)
        if not self.is_joint:
            return x
        sigma_d = self._sigma_d(draws)
        xd = join(x, family.noised(batch.d, draws.eps_d, sigma_d))
        dropped = draws.drop_motion.reshape(-1, *[1] * (xd.ndim - 1))
        xd = torch.where(dropped, null_motion(xd), xd)
        return with_level(xd, 1 - sigma_d) if family.has_level else xd

    def _sigma_d(self, draws: Draws) -> Tensor:
        return draws.sigma_d if self.family.has_level else draws.sigma

    def replace_text(self, text: Conditioning, dropped: Tensor) -> Conditioning:
        """Put the null text into the dropped rows; an image condition has no null and stays."""
        return {
            name: torch.where(
                dropped.reshape(-1, *[1] * (value.ndim - 1)), self.null_text[name].to(value), value
            )
            if name in self.null_text
            else value
            for name, value in text.items()
        }
