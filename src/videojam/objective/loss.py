"""The training objective (Eq. 6).

    L = E ‖ u([x_t, d_t], y, t) − [v_x, v_d] ‖²,   x_t = t·x + (1−t)·ε_x,   d_t = t·d + (1−t)·ε_d    (Eq. 6)

One time t for both halves, independent noises. The mean over the concatenated target is half of mean_x + mean_d;
it is written as `mean_x + λ·mean_d`, so that the appearance half keeps the scale that the control (no motion) has.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def joint_loss(
    halves: list[Float[Tensor, " b"]], motion_weight: float, num_clips: int | float | None = None
) -> Float[Tensor, ""]:
    """Return mean_x + λ·mean_d (Eq. 6); mean_x where there is no motion half.

    Args:
        halves: Squared errors of each clip, from `half_losses`: [appearance] or [appearance, motion].
        motion_weight: λ; 1 is the paper's, up to a factor of 2 on the whole.
        num_clips: Number of clips that the means are over, where these are a part of them; default: these.
    """
    means = half_means(halves, num_clips)
    return means[0] + motion_weight * means[1] if len(means) == 2 else means[0]


def half_means(
    halves: list[Float[Tensor, " b"]], num_clips: int | float | None = None
) -> list[Float[Tensor, ""]]:
    """Return mean_x, or mean_x and mean_d: each half's error over the clips.

    Args:
        halves: Squared errors of each clip.
        num_clips: Number of clips that the means are over, where these are a part of them; default: these.
    """
    return [half.sum() / (num_clips or len(half)) for half in halves]


def half_losses(
    prediction: Float[Tensor, " b *shape"],
    target: Float[Tensor, " b *shape"],
    num_halves: int,
    weight: Tensor | None = None,
) -> list[Float[Tensor, " b"]]:
    """Return the mean squared error of each clip, for each half separately.

    Args:
        prediction: `[B, C or 2C, F, H, W]`.
        target: The same shape.
        num_halves: 2 for a joint model, 1 for a plain one.
        weight: Of each place's error, broadcast over the channels; None is 1.
    """
    error = (prediction.float() - target.float()).square()
    if weight is not None:
        error = error * weight
    return [half.flatten(1).mean(dim=1) for half in error.chunk(num_halves, dim=1)]
