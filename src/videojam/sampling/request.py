"""What one sampling run asks for, with everything left open filled from the model folder or the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.base import Generators
from videojam.guidance.config import GuidanceConfig
from videojam.joint.latents import join
from videojam.models.load import LoadedModel

MOTION_SEED = 0x9E3779B9
"""Flips bits of a sample's seed for d's own generator, so that x's noise is that of the base model."""


@dataclass(frozen=True)
class Request:
    """A complete sampling request, shared by the pipeline path and its twin.

    Attributes:
        prompts: One for each clip.
        seeds: One for each clip.
        num_frames: Pixel frames.
        height: In px.
        width: In px.
        num_steps: Sampling steps.
        negative_prompt: Null text; None is the base's own.
        max_sequence_length: Text tokens.
        noise: `[B, C or 2C, F, H, W]`.
        generators: Of x and of d, as drawing the noise left them.
    """

    prompts: list[str]
    seeds: list[int]
    num_frames: int
    height: int
    width: int
    num_steps: int
    negative_prompt: str | None
    max_sequence_length: int
    noise: Tensor
    generators: Generators


def build_request(
    model: LoadedModel,
    prompts: Sequence[str],
    seeds: int | Sequence[int],
    guidance: GuidanceConfig,
    **given: Any,
) -> Request:
    """Fill what isn't given from the folder's defaults, then from the stock pipeline's own.

    Args:
        model: Base or joint model.
        prompts: One for each clip.
        seeds: One for each clip, or the first of consecutive ones.
        guidance: Checked against the model: a base has no motion to be guided by.
        given: num_frames, height, width, num_steps, negative_prompt, max_sequence_length; None is not given.

    Raises:
        VideoJamError: no prompts, other numbers of seeds, sizes that don't fit, or motion guidance of a base.
    """
    _check_guidance(model, guidance)
    if isinstance(prompts, str) or not prompts:
        raise VideoJamError(
            expected="a list of prompts", found=repr(prompts), where="prompts", fix="Give one prompt or more."
        )
    seeds = [seeds + i for i in range(len(prompts))] if isinstance(seeds, int) else list(seeds)
    if len(seeds) != len(prompts):
        raise VideoJamError(
            expected=f"{len(prompts)} seeds, one for each prompt",
            found=f"{len(seeds)}",
            where="seeds",
            fix="Give one seed for each prompt, or a single number.",
        )

    def pick(name: str, stock_name: str | None = None) -> Any:
        for value in (given.get(name), getattr(model.defaults, name)):
            if value is not None:
                return value
        return model.family.default(model.pipeline, stock_name or name)

    num_frames, height, width = pick("num_frames"), pick("height"), pick("width")
    generators = noise_generators(seeds)
    return Request(
        prompts=list(prompts),
        seeds=seeds,
        num_frames=num_frames,
        height=height,
        width=width,
        num_steps=pick("num_steps", "num_inference_steps"),
        negative_prompt=pick("negative_prompt"),
        max_sequence_length=pick("max_sequence_length"),
        noise=_draw(model, generators, num_frames, height, width),
        generators=generators,
    )


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


def _check_guidance(model: LoadedModel, guidance: GuidanceConfig) -> None:
    if not model.is_joint and (guidance.uses_motion_branch or guidance.drop_motion):
        raise VideoJamError(
            expected="guidance cfg or none for a base model, which has no motion half",
            found=f"guidance {guidance.mode}, w_motion = {guidance.w_motion:g}",
            where=model.source,
            fix="Convert and train it first, or sample with guidance cfg.",
        )
    if not model.is_joint and guidance.reuse_every > 1:
        raise VideoJamError(
            expected="reuse_every = 1 for a base model, whose pipeline runs without our hook",
            found=f"reuse_every = {guidance.reuse_every}",
            where=model.source,
            fix="Leave it out, or sample a joint model.",
        )
