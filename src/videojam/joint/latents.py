"""Joining, splitting and nulling the joint latent xd = [x, d] on its channels."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError


def join(x: Float[Tensor, "*shape"], d: Float[Tensor, "*shape"], dim: int = 1) -> Tensor:
    """Concatenate appearance and motion latents: xd = [x, d].

    Args:
        x: Appearance latent `[B, C, F, H, W]`.
        d: Motion latent, the same shape.
        dim: Axis of the channels.
    """
    return torch.cat([x, d], dim=dim)


def split(xd: Tensor, dim: int = 1) -> tuple[Tensor, Tensor]:
    """Return (x, d) of a joint latent `[B, 2C, F, H, W]`."""
    x, d = xd.chunk(2, dim=dim)
    return x, d


def with_level(
    xd: Tensor, t_d: float | Float[Tensor, " b"], num_channels: int | None = None, dim: int = 1
) -> Tensor:
    """Put d's noise level, t_d in the paper's time, right behind d, as one channel.

    Null motion has t_d = 0, that of only noise: nothing is known of d. So has a place at which d is zeros, as in a
    frame that is given.

    Args:
        xd: Joint latent `[B, 2C, F, H, W]`, or a network input that continues after d (image-to-video).
        t_d: 0 noise, 1 data; one for each sample, or for all.
        num_channels: C; half of the channels if not given.
        dim: Axis of the channels.
    """
    num_channels = num_channels or xd.shape[dim] // 2
    x, d, rest = xd.split([num_channels, num_channels, xd.shape[dim] - 2 * num_channels], dim=dim)
    level = torch.as_tensor(t_d, dtype=xd.dtype, device=xd.device)
    level = level.reshape(-1, *[1] * (xd.ndim - 1)) * (d != 0).any(dim=dim, keepdim=True)
    return torch.cat([x, d, level, rest], dim=dim)


def null_motion(
    xd: Tensor, num_channels: int | None = None, dim: int = 1, *, has_level: bool = False
) -> Tensor:
    """Set the motion half to its null, zeros (not a noised zero), leaving the input as it is.

    Args:
        xd: Joint latent `[B, 2C, F, H, W]`, or a network input that continues after d (image-to-video).
        num_channels: C; half of the channels if not given.
        dim: Axis of the channels.
        has_level: Whether d's noise level is behind d; it is set to 0, too.
    """
    num_channels = num_channels or xd.shape[dim] // 2
    nulled = xd.clone()
    nulled.narrow(dim, num_channels, num_channels + has_level).zero_()
    return nulled


def reject_non_finite(latent: Tensor, name: str, where: str) -> None:
    """Raise if a latent holds NaN or infinity, which leaks through zero weights as NaN.

    Args:
        latent: Any latent.
        name: What it is, for the message.
        where: File, clip or step it came from.
    """
    if not torch.isfinite(latent).all():
        num_bad = int((~torch.isfinite(latent)).sum())
        raise VideoJamError(
            expected=f"finite numbers in the {name}",
            found=f"{num_bad} of {latent.numel()} values NaN or infinite",
            where=where,
            fix="Pixels and flow are finite: take the autoencoder (vae/) from an intact copy of the model.",
        )
