"""How alike two clips of the same scene are, in appearance and in motion apart.

A clip is the sum of its mean over time and of the deviation from it. The mean is blind to the order of frames:
it is appearance. The deviation is zero for a still clip: it is motion, of what moves and looks as it does.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def appearance_agreement(video: UInt8[Tensor, "t 3 h w"], reference: UInt8[Tensor, "t 3 h w"]) -> float:
    """Return the cosine between the two clips' means over time, minus each channel's mean over the picture.

    Args:
        video: Pixels.
        reference: Pixels of the clip that should come back.

    Returns:
        −1..1; 1 for the same means, 0 where one picture is flat.
    """
    means = [clip.double().mean(dim=0) for clip in (video, reference)]
    return _cosine(*(mean - mean.mean(dim=(1, 2), keepdim=True) for mean in means))


def motion_agreement(video: UInt8[Tensor, "t 3 h w"], reference: UInt8[Tensor, "t 3 h w"]) -> float:
    """Return the cosine between the two clips' deviations from their means over time.

    Args:
        video: Pixels.
        reference: Pixels of the clip that should come back.

    Returns:
        −1..1; 1 for the same changes, 0 where one clip is still.
    """
    clips = [clip.double() for clip in (video, reference)]
    return _cosine(*(clip - clip.mean(dim=0) for clip in clips))


def flow_agreement(flow: Float[Tensor, "t 2 h w"], reference: Float[Tensor, "t 2 h w"]) -> float:
    """Return the cosine between two flows, over all pixels and pairs of frames together: fast pixels count most.

    Args:
        flow: (u, v) in px/frame.
        reference: (u, v) in px/frame of the clip that should come back.

    Returns:
        −1..1; 1 for the same directions and relative speeds, 0 where one flow is zero.
    """
    return _cosine(flow.double(), reference.double())


def _cosine(a: Tensor, b: Tensor) -> float:
    scale = float(torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b))
    return min(1.0, max(-1.0, float((a * b).sum()) / scale)) if scale else 0.0
