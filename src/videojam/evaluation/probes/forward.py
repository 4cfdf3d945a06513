"""What probes that ask for a prediction share: times, the transformer of a time, noise that is the clip's own."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, field_validator
from torch import Tensor

from videojam.evaluation.probes.clips import Estimator, ProbeClip
from videojam.models.load import LoadedModel
from videojam.objective.draws import Draws
from videojam.seeds import generator_of
from videojam.strict import Seed, Strict


class ForwardConfig(Strict):
    """How a probe asks a model for predictions."""

    times: tuple[float, ...] = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        min_length=1,
        description="The paper's t, 0 noise .. 1 data.",
    )
    seed: Seed = Field(0, description="Of the noise, and of the permutations where frames are permuted.")
    estimator: Estimator | None = Field(
        None, description="Of the flow that a joint model reads from files; default: that of its motion code."
    )
    batch_size: int = Field(4, ge=1, description="Clips in one forward; changes only rounding.")

    @field_validator("times")
    @classmethod
    def _inside(cls, times: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < t < 1 for t in times) or list(times) != sorted(set(times)):
            raise ValueError("every time lies between 0 and 1, in rising order")
        return times


def transformer_at(model: LoadedModel, t: float) -> Any:
    """Return the transformer that is in charge of a time (mixtures of experts have two)."""
    parts = model.family.transformers(model.pipeline)
    for name, transformer in parts.items():
        low, high = model.family.sigma_range(model.pipeline, name)
        if low <= 1 - t <= high:
            return transformer
    return next(iter(parts.values()))


def draws_of(clips: list[ProbeClip], x: Tensor, t: float, seed: int) -> Draws:
    """Return noise that is a function of clip and seed: the same for both orders, for every t and every model."""

    def noise(name: str) -> Tensor:
        generators = (generator_of(seed, 0, f"{name} {clip.key}") for clip in clips)
        return torch.stack([torch.randn(x.shape[1:], generator=generator) for generator in generators])

    never = torch.zeros(len(clips), dtype=torch.bool)
    sigma = torch.full((len(clips),), 1 - t)
    return Draws(sigma, noise("eps_x"), noise("eps_d"), never, never, sigma).to(x.device)
