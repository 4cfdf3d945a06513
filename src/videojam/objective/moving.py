"""Weights of the appearance error where something moves: the second control of a joint fine-tune.

    weight = 1 + (moving_weight − 1) · m,   m = ‖d − d_still‖ / (its maximum over the clip)

d is the motion latent of a place and d_still that of a clip in which nothing moves, so m is 0..1 and needs no decoding.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class MovingWeight:
    """How much more the appearance error counts where a clip moves most.

    Attributes:
        factor: Weight at the place of a clip that moves most; places that are still have 1.
        still: Motion latent of a clip in which nothing moves, `[1, C, F, h, w]`.
    """

    factor: float
    still: Float[Tensor, "one c f h w"]

    def of(self, d: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b one f h w"]:
        """Return the weight of each place; 1 everywhere in a clip without motion.

        Args:
            d: Motion latents.
        """
        magnitude = (d - self.still.to(d)).float().square().sum(dim=1, keepdim=True).sqrt()
        largest = magnitude.amax(dim=(1, 2, 3, 4), keepdim=True)
        return 1 + (self.factor - 1) * magnitude / largest.clamp_min(1e-12)
