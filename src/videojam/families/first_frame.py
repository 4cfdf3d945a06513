"""Image-to-video bases that put the clean first frame into the latents and give its tokens timestep 0."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.families.stock import Pipeline

FIRST = "first_latent"
"""Name of the image's latent `[B, C, 1, H, W]` among the conditions."""


def with_first_frame(
    latents: Float[Tensor, "b channels f h w"], first: Float[Tensor, "b c 1 h w"]
) -> Float[Tensor, "b channels f h w"]:
    """Put the image's latent into the first frame of x, and null motion (zeros) into that of d, if there is one."""
    given = torch.zeros_like(latents[:, :, :1])
    given[:, : first.shape[1]] = first.to(given)
    return torch.cat([given, latents[:, :, 1:]], dim=2)


def token_times(
    timestep: Float[Tensor, " b"], num_frames: int, num_tokens: int, num_given: int
) -> Float[Tensor, "b l"]:
    """Spread a timestep over tokens, frame by frame: 0 for those of the given frames.

    Args:
        timestep: Of each sample.
        num_frames: Frames of tokens.
        num_tokens: Tokens of a frame.
        num_given: Frames, from the first on, that aren't noised.
    """
    times = timestep[:, None, None].repeat(1, num_frames, num_tokens)
    times[:, :num_given] = 0
    return times.flatten(1)


def video_of_image(
    pipe: Pipeline, image: Any, num_clips: int, num_frames: int, height: int, width: int
) -> Float[Tensor, "b 3 t h w"]:
    """Return the still clips of an image in −1..1, resized by the pipeline's own code."""
    frame = pipe.video_processor.preprocess(image, height=height, width=width).float()
    return frame[:, :, None].expand(num_clips, -1, num_frames, -1, -1)


def skip_image_noise(generators: list[torch.Generator], shape: tuple[int, ...]) -> None:
    """Move generators past the numbers that the stock call samples the image's latent with, before any noise.

    Args:
        generators: One a clip.
        shape: Of the latents, `[B, C, F, H, W]`.
    """
    from diffusers.utils.torch_utils import randn_tensor  # takes seconds, which judges and reports do without

    for generator in generators:
        randn_tensor((1, shape[1], 1, *shape[3:]), generator=generator, dtype=torch.float32)


def restarted(generators: list[torch.Generator]) -> list[torch.Generator]:
    """Return generators as they were before anything was drawn from them."""
    return [torch.Generator().manual_seed(generator.initial_seed()) for generator in generators]


def seeded(generators: list[torch.Generator] | None, num: int) -> list[torch.Generator]:
    """Return the generators, or as many of seed 0, so that a clip's image has one latent in training."""
    return generators or [torch.Generator().manual_seed(0) for _ in range(num)]
