"""Decoded motion as pictures: frames of the autoencoder, and arrows over the clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.motion.code import MotionCode
from videojam.motion.draw import arrows


def decoded_clips(vae: Any, latents: Tensor) -> list[Tensor]:
    """Decode clips with ComfyUI's autoencoder.

    Args:
        vae: ComfyUI's VAE.
        latents: `[B, C, F, H, W]` in its own scale.

    Returns:
        A clip each, float32 in 0..1, `[T, 3, H, W]`.
    """
    clips = []
    for clip in latents.split(1):
        images = vae.decode(clip)  # [1, T, H, W, 3], or without the first axis
        clips.append(images.reshape(-1, *images.shape[-3:]).movedim(-1, 1).float().cpu().clamp(0, 1))
    return clips


def arrows_over(frames: Tensor, flows: Sequence[Tensor], code: MotionCode) -> Tensor:
    """Draw an arrow from points of a grid to where the flow takes them, over the frames.

    Args:
        frames: ComfyUI's images of the clips one after another, `[B·T, H, W, 3]` in 0..1.
        flows: `[T-1, 2, H, W]` of each clip.
        code: The model's motion code, which colours the arrows.

    Returns:
        Images of the same shape.

    Raises:
        VideoJamError: the frames are of another clip.
    """
    num_frames = [len(flow) + 1 for flow in flows]
    if len(frames) != sum(num_frames):
        raise VideoJamError(
            expected=f"{sum(num_frames)} frames, as many as the motion has",
            found=f"{len(frames)}",
            where="frames",
            fix="Connect the decoded video of the same latent.",
        )
    pixels = (frames[..., :3] * 255).round().clamp(0, 255).to(torch.uint8).movedim(-1, 1).cpu()
    drawn = [
        arrows(clip, flow, code=code) for clip, flow in zip(pixels.split(num_frames), flows, strict=True)
    ]
    return torch.cat(drawn).movedim(1, -1).float() / 255
