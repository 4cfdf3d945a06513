"""The one way from clips to latents: training's cache and the probes both go it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from videojam.data.clips import ClipContent
from videojam.errors import VideoJamError
from videojam.families import Conditioning
from videojam.families.latent_codec import video_of
from videojam.joint.latents import reject_non_finite
from videojam.models.load import LoadedModel
from videojam.motion.estimators import FlowEstimator

NULL_PROMPT = ""
"""The null text of training: the empty prompt, also where a folder asks for a negative prompt in sampling."""


def flow_of(content: ClipContent, estimator: FlowEstimator | None) -> Float[Tensor, "num_flows 2 h w"]:
    """Return a clip's exact flow where its source knows it, else the estimator's, in px/frame.

    Raises:
        VideoJamError: neither is there.
    """
    if content.flow is not None:
        return content.flow
    if estimator is None:
        raise VideoJamError(
            expected="an estimator of the flow, as the clips bring none",
            found="None",
            where="optical flow",
            fix="Set motion.estimator to raft or dis.",
        )
    return estimator(content.video)


@dataclass(frozen=True)
class DrawnClip:
    """A clip as the autoencoder reads it.

    Attributes:
        name: How the user knows it, for error messages.
        caption: Its text.
        video: Pixels.
        motion: Its flow drawn as RGB (Eq. 5); None for a model that reads no motion.
        gain: Factor on its motion latents.
    """

    name: str
    caption: str
    video: UInt8[Tensor, "t 3 h w"]
    motion: UInt8[Tensor, "t 3 h w"] | None
    gain: float = 1.0


class Encoded(NamedTuple):
    """What clips became, one row each.

    Attributes:
        x: Appearance latents.
        d: Motion latents.
        text: Denoiser keywords of the captions.
        image: Denoiser keywords of the first frames, where the base reads them.
    """

    x: Float[Tensor, "b c f h w"]
    d: Float[Tensor, "b c f h w"]
    text: Conditioning
    image: Conditioning


class EncodedPixels(NamedTuple):
    """What the pixels of clips became, one row each; the deviations are those of the autoencoder's posterior.

    Attributes:
        x: Appearance latents.
        d: Motion latents.
        x_std: Deviation of x.
        d_std: Deviation of d.
        image: Denoiser keywords of the first frames, where the base reads them.
    """

    x: Float[Tensor, "b c f h w"]
    d: Float[Tensor, "b c f h w"]
    x_std: Float[Tensor, "b c f h w"]
    d_std: Float[Tensor, "b c f h w"]
    image: Conditioning


@torch.no_grad()
def encode_clips(
    model: LoadedModel,
    clips: Sequence[DrawnClip],
    *,
    max_sequence_length: int | None = None,
) -> Encoded:
    """Encode clips to x, their motion by the same autoencoder to d, and captions to text.

    Args:
        model: Its autoencoder and text encoder are used as the stock pipeline uses them.
        clips: Of one size. Where none has a motion, d is x, to have a shape.
        max_sequence_length: Text tokens, padding included; the base's default if None.

    Raises:
        VideoJamError: NaN or infinity in a latent.
    """
    made = encode_pixels(model, clips)
    captions = [clip.caption for clip in clips]
    text = model.family.encode_prompts(model.pipeline, captions, max_sequence_length)
    return Encoded(made.x, made.d, text, made.image)


@torch.no_grad()
def encode_pixels(model: LoadedModel, clips: Sequence[DrawnClip], *, together: bool = False) -> EncodedPixels:
    """Encode clips to x, and their motion by the same autoencoder to d; no text encoder is needed.

    Args:
        model: Its autoencoder is used as the stock pipeline uses it.
        clips: As in `encode_clips`.
        together: Encode all videos in one call of the autoencoder: faster, but float rounding then depends on which
            clips are in it.

    Raises:
        VideoJamError: NaN or infinity in a latent.
    """
    family, pipe = model.family, model.pipeline
    videos = [clip.video for clip in clips]
    motions = [clip.motion for clip in clips if clip.motion is not None]
    pixels = video_of(torch.stack([*videos, *motions]).movedim(2, 1))
    groups = [pixels] if together else [video[None] for video in pixels]
    posteriors = [family.encode_posterior(pipe, group) for group in groups]
    means, stds = (torch.cat(parts) for parts in zip(*posteriors, strict=True))
    num = len(clips)
    x, d = means[:num], means[num:] if motions else means
    d_std = stds[num:] if motions else stds
    if motions:
        gain = torch.tensor([clip.gain for clip in clips], device=d.device).view(-1, 1, 1, 1, 1)
        d, d_std = d * gain, d_std * gain
    x_std = stds[:num]
    for row, clip in enumerate(clips):
        for name, half, std in (("appearance", x, x_std), ("motion", d, d_std)):
            reject_non_finite(half[row], f"{name} latent", clip.name)
            reject_non_finite(std[row], f"deviation of the {name} latent", clip.name)
    image = family.encode_image(pipe, pixels[:num])
    return EncodedPixels(x, d, x_std, d_std, image)
