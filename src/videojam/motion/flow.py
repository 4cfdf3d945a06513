"""From T-1 flows to a T-frame motion video, and back."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.motion.choices import Padding
from videojam.motion.code import MotionCode
from videojam.motion.rgb import flow_to_rgb8, rgb_to_flow


def pad_flow(flow: Shaped[Tensor, "num_flows c h w"], padding: Padding) -> Shaped[Tensor, "num_frames c h w"]:
    """Duplicate the first or the last flow so that there is one for each frame.

    `first` puts the flow from frame i-1 to i beside frame i; `last` keeps flow i beside frame i.

    Args:
        flow: T-1 flows, as vectors or drawn.
        padding: Which flow is duplicated.

    Returns:
        T flows.

    Raises:
        VideoJamError: If there is no flow.
    """
    _check_some(flow, "flow", fewest=1)
    return torch.cat((flow[:1], flow) if padding == "first" else (flow, flow[-1:]))


def motion_video(
    flow: Float[Tensor, "num_flows 2 h w"], code: MotionCode
) -> UInt8[Tensor, "num_frames 3 h w"]:
    """Draw T-1 flows as the T-frame RGB video that the VAE encodes to d.

    Args:
        flow: T-1 flows in px/frame, finite.
        code: How to draw and pad.

    Raises:
        VideoJamError: If there is no flow, or NaN or infinity in it.
    """
    return pad_flow(flow_to_rgb8(flow, code), code.padding)


def decode_motion_video(
    video: UInt8[Tensor, "num_frames 3 h w"] | Float[Tensor, "num_frames 3 h w"], code: MotionCode
) -> Float[Tensor, "num_flows 2 h w"]:
    """Read the T-1 flows back from a T-frame motion video, dropping the padded frame.

    Args:
        video: uint8, or float in 0..1 (for instance a VAE's output brought to that range).
        code: How the video was drawn and padded.

    Returns:
        Flow in px/frame, float32.

    Raises:
        VideoJamError: If there are fewer than two frames, or NaN or infinity in them.
    """
    _check_some(video, "motion video", fewest=2)
    kept = video[1:] if code.padding == "first" else video[:-1]
    rgb = kept.float().div(255) if kept.dtype == torch.uint8 else kept
    return rgb_to_flow(rgb, code)


def _check_some(frames: Tensor, what: str, fewest: int) -> None:
    if len(frames) < fewest:
        raise VideoJamError(
            expected=f"at least {fewest} frame{'s' if fewest > 1 else ''} of {what}",
            found=str(len(frames)),
            where=what,
            fix="Use a clip of two frames or more.",
        )
