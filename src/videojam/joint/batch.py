"""What clips become before a model sees them: both latents and the conditioning, one row a clip."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from videojam.families import Conditioning


class Batch(NamedTuple):
    """Clean latents and text of some clips.

    Attributes:
        x: Appearance latents.
        d: Motion latents.
        text: Denoiser keywords, one row a clip; an image condition too, where the base has one.
    """

    x: Float[Tensor, "b c f h w"]
    d: Float[Tensor, "b c f h w"]
    text: Conditioning
