"""What one call of `sample` works on: prompts, seeds, the noise of each clip, and resolved settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.denoising import Generators
from videojam.joint.latents import join
from videojam.limits import MAX_SEED
from videojam.models.load import LoadedModel
from videojam.sampling.checks import require_texts
from videojam.sampling.settings import ResolvedSettings

MOTION_SEED = 0x9E3779B9
"""Flips bits of a sample's seed for d's own generator, so that x's noise is that of the base model."""


@dataclass(frozen=True)
class Request:
    """A complete sampling request, shared by the pipeline path and its twin.

    Attributes:
        prompts: One for each clip.
        seeds: One for each clip.
        settings: With nothing left open.
        noise: `[B, C or 2C, F, H, W]`.
        generators: Of x and of d, as drawing the noise left them.
    """

    prompts: list[str]
    seeds: list[int]
    settings: ResolvedSettings
    noise: Tensor
    generators: Generators


def build_request(
    model: LoadedModel,
    prompts: Sequence[str],
    seeds: int | Sequence[int],
    settings: ResolvedSettings,
) -> Request:
    """Check prompts and seeds, and draw the noise of each clip.

    Args:
        model: Base or joint model.
        prompts: One for each clip.
        seeds: One for each clip, or the first of consecutive ones.
        settings: With nothing left open.

    Raises:
        VideoJamError: no prompts, texts that are none, other numbers of seeds, seeds that torch doesn't take, or
            sizes that don't fit.
    """
    if isinstance(prompts, str) or not prompts:
        raise VideoJamError(
            expected="a list of prompts", found=repr(prompts), where="prompts", fix="Give one prompt or more."
        )
    require_texts([*prompts, settings.negative_prompt or ""])
    seeds = seeds_of(seeds, len(prompts))
    generators = noise_generators(seeds)
    sizes = settings.num_frames, settings.height, settings.width
    return Request(list(prompts), seeds, settings, _draw(model, generators, *sizes), generators)


def seeds_of(seeds: int | Sequence[int], num: int) -> list[int]:
    """Return one seed for each clip.

    Args:
        seeds: One for each clip, or the first of consecutive ones.
        num: Number of clips.

    Raises:
        VideoJamError: another number of seeds, or one outside of 0 .. 2^63 − 1.
    """
    if isinstance(seeds, bool):
        seeds = [seeds]
    else:
        seeds = [seeds + i for i in range(num)] if isinstance(seeds, int) else list(seeds)
    if len(seeds) != num:
        raise VideoJamError(
            expected=f"{num} seeds, one for each prompt",
            found=f"{len(seeds)}",
            where="seeds",
            fix="Give one seed for each prompt, or a single number.",
        )
    for seed in seeds:
        if isinstance(seed, bool) or not 0 <= seed <= MAX_SEED:
            raise VideoJamError(
                expected=f"a whole number from 0 to {MAX_SEED}, the largest that torch takes",
                found=f"{seed}",
                where="the seed",
                fix="Choose a seed in this range; -1 does not mean a random seed.",
            )
    return seeds


def noise_generators(seeds: list[int]) -> Generators:
    """Return the generators of x and of d of these seeds."""
    x, d = (
        [torch.Generator().manual_seed(seed) for seed in values]
        for values in (seeds, [seed ^ MOTION_SEED for seed in seeds])
    )
    return x, d


def draw_noise(model: LoadedModel, seeds: list[int], num_frames: int, height: int, width: int) -> Tensor:
    """Draw x's noise as the stock pipeline does from generators of these seeds, and d's from its own.

    Returns:
        `[B, C, F, H, W]` for a base model, `[B, 2C, F, H, W]` for a joint one; float32.
    """
    return _draw(model, noise_generators(seeds), num_frames, height, width)


def _draw(model: LoadedModel, generators: Generators, num_frames: int, height: int, width: int) -> Tensor:
    shape = (len(generators[0]), *model.family.latent_shape(model.pipeline, num_frames, height, width))
    x = model.family.draw_noise(shape, generators[0])
    return join(x, model.family.draw_noise(shape, generators[1])) if model.is_joint else x
