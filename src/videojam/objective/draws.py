"""Everything random in a step of the objective: times, noises and dropouts, each a function of its generator."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from videojam.objective.config import ObjectiveConfig
from videojam.seeds import generator_of

HELDOUT_SEED = 0
"""Held-out times and noise do not depend on a run's seed, so that runs compare."""


@dataclass(frozen=True)
class Draws:
    """All that is random in one step, for its global batch.

    Attributes:
        sigma: Noise levels, 1 − t.
        eps_x: Noise of the appearance latents.
        eps_d: Noise of the motion latents, independent of it.
        drop_text: Samples whose text is null.
        drop_motion: Samples whose motion input is null.
        sigma_d: Noise levels of d, for a model whose motion has its own.
    """

    sigma: Float[Tensor, " b"]
    eps_x: Float[Tensor, " b *shape"]
    eps_d: Float[Tensor, " b *shape"]
    drop_text: Bool[Tensor, " b"]
    drop_motion: Bool[Tensor, " b"]
    sigma_d: Float[Tensor, " b"]

    def rows(self, rows: list[int]) -> Draws:
        """Return some samples' share."""
        return Draws(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device | str) -> Draws:
        """Move to a device; to a GPU from page-locked memory, so that the host does not wait for it."""
        tensors = (getattr(self, field.name) for field in fields(self))
        if torch.device(device).type == "cuda":
            return Draws(*(tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors))
        return Draws(*(tensor.to(device) for tensor in tensors))


def draw(
    config: ObjectiveConfig,
    seed: int,
    step: int,
    batch_size: int,
    shape: tuple[int, ...],
    sigma_range: tuple[float, float] = (0.0, 1.0),
) -> Draws:
    """Draw a step's times, noises and dropouts; each from a generator of its own.

    So that the control (no motion) sees the same times, noise and text dropout as VideoJAM.
    """

    def rand(name: str) -> Tensor:
        return torch.rand(batch_size, generator=generator_of(seed, step, name))

    def noise(name: str) -> Tensor:
        return torch.randn(batch_size, *shape, generator=generator_of(seed, step, name))

    times = generator_of(seed, step, "t")
    if sigma_range == (0.0, 1.0):
        t = sample_t(config, batch_size, times)
    else:
        t = sample_t_within(config, batch_size, times, sigma_range)
    return Draws(
        sigma=1 - t,
        eps_x=noise("eps_x"),
        eps_d=noise("eps_d"),
        drop_text=rand("text") < config.text_dropout,
        drop_motion=rand("motion") < config.motion_dropout,
        sigma_d=rand("t_d"),  # uniform, as sampling is long at d's clean end where d leads
    )


def sample_t(config: ObjectiveConfig, num: int, generator: torch.Generator) -> Float[Tensor, " b"]:
    """Draw times t in (0, 1): uniform or logit-normal (Esser et al. 2024), then shifted in σ = 1 − t."""
    if config.t_sampling == "uniform":
        t = torch.rand(num, generator=generator)
    else:
        t = torch.sigmoid(config.t_mean + config.t_std * torch.randn(num, generator=generator))
    return _shifted(t, config.t_shift)


def sample_t_within(
    config: ObjectiveConfig, num: int, generator: torch.Generator, sigma_range: tuple[float, float]
) -> Float[Tensor, " b"]:
    """Draw times of `sample_t`'s distribution, given that σ is in a range, by its inverse.

    Args:
        config: The distribution.
        num: How many.
        generator: Of the uniform numbers that are mapped.
        sigma_range: σ from and to, after the shift.
    """
    shift = config.t_shift
    low, high = (
        1 - sigma / (shift - (shift - 1) * sigma) for sigma in torch.tensor(sigma_range[::-1]).double()
    )
    uniform = torch.rand(num, generator=generator).double()
    if config.t_sampling == "uniform":
        t = low + uniform * (high - low)
    else:
        ends = (torch.logit(torch.stack([low, high])) - config.t_mean) / config.t_std
        below, above = torch.special.ndtr(ends)
        normal = torch.special.ndtri(below + uniform * (above - below))
        t = torch.sigmoid(config.t_mean + config.t_std * normal)
    return _shifted(t, shift).float()


def _shifted(t: Tensor, shift: float) -> Tensor:
    """Return times, kept off both ends, after σ ← shift·σ / (1 + (shift−1)·σ)."""
    sigma = 1 - t.clamp(1e-4, 1 - 1e-4)
    return 1 - shift * sigma / (1 + (shift - 1) * sigma)


def fixed_draws(first: int, num: int, t: float, shape: tuple[int, ...]) -> Draws:
    """Return noise that depends only on the clip's number, at one time for both halves, with nothing dropped."""

    def noise(name: str) -> Tensor:
        rows = [torch.randn(shape, generator=generator_of(HELDOUT_SEED, first + i, name)) for i in range(num)]
        return torch.stack(rows)

    never, sigma = torch.zeros(num, dtype=torch.bool), torch.full((num,), 1 - t)
    return Draws(sigma, noise("heldout_x"), noise("heldout_d"), never, never, sigma)
