"""Flow ↔ RGB (Eq. 5 of arXiv 2502.02492), in both colour styles and with magnitude curves.

    m = min(1, sqrt(u² + v²) / (s·sqrt(H² + W²)))        α = atan2(v, u)

Hue is α; the curved m is HSV's value (style `value`) or its saturation (style `saturation`).

With h = 3α/π in [-3, 3] the fully saturated colour of hue α is, without branches,

    R = clamp(2 - |h|, 0, 1)    G = clamp(|h + 1| - 1, 0, 1)    B = clamp(|h - 1| - 1, 0, 1)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.motion.code import MotionCode
from videojam.motion.colours import CURVES, STYLES

# Intermediate planes of this many pixels (128 KiB) stay in a core's second-level cache.
BLOCK_PX = 32_768
# Below 13 of 255 levels at its fastest hundredth, a motion video looks black (or white) to eye and VAE alike.
INVISIBLE_BELOW = 0.05


class MagnitudeReport(NamedTuple):
    """How visible the motion of some flow is once drawn.

    Attributes:
        median: Median over pixels of the drawn magnitude, 0..1.
        p99: Its 99th percentile, 0..1.
        warning: What is wrong and what to change; None when motion is visible.
    """

    median: float
    p99: float
    warning: str | None


@torch.no_grad()
def flow_to_rgb(flow: Float[Tensor, "*batch 2 h w"], code: MotionCode) -> Float[Tensor, "*batch 3 h w"]:
    """Draw flow as RGB (Eq. 5).

    Args:
        flow: (u, v) in px/frame, u right, v down, finite.
        code: Style, scale and curve.

    Returns:
        float32 colours in 0..1.

    Raises:
        VideoJamError: If the flow holds NaN or infinity.
    """
    return _draw(flow, code, torch.float32)


@torch.no_grad()
def flow_to_rgb8(flow: Float[Tensor, "*batch 2 h w"], code: MotionCode) -> UInt8[Tensor, "*batch 3 h w"]:
    """Draw flow as 8-bit RGB: `flow_to_rgb` times 255, rounded to nearest, in one pass.

    Args:
        flow: (u, v) in px/frame, finite.
        code: Style, scale and curve.

    Raises:
        VideoJamError: If the flow holds NaN or infinity.
    """
    return _draw(flow, code, torch.uint8)


@torch.no_grad()
def rgb_to_flow(rgb: Float[Tensor, "*batch 3 h w"], code: MotionCode) -> Float[Tensor, "*batch 2 h w"]:
    """Read flow back from its colours: the inverse of Eq. 5, exact for m < 1.

    It also reads colours that no flow has (a decoded latent is soft): hue is that of HSV, m comes from the
    largest channel (style `value`) or the smallest (style `saturation`), and a grey pixel gets hue 0.

    Args:
        rgb: Colours in 0..1; values outside are clamped.
        code: Style, scale and curve with which the flow was drawn.

    Returns:
        float32 (u, v) in px/frame.

    Raises:
        VideoJamError: If the colours hold NaN or infinity.
    """
    *batch, _, height, width = rgb.shape
    full_scale = code.full_scale_px(height, width)
    flow = torch.empty((*batch, 2, height, width), device=rgb.device)
    _in_blocks(lambda colours, out: _read_block(colours, out, code, full_scale), rgb, flow)
    return flow


@torch.no_grad()
def magnitude_report(
    flow: Float[Tensor, "*batch 2 h w"], code: MotionCode, size_px: tuple[int, int] | None = None
) -> MagnitudeReport:
    """Median and 99th percentile of the drawn magnitude, with a warning when motion is nearly invisible.

    Args:
        flow: (u, v) in px/frame, finite.
        code: Style, scale and curve.
        size_px: Height and width of the frames of which the flow is a sample; the flow's own if None.

    Raises:
        VideoJamError: If the flow is empty or holds NaN or infinity.
    """
    if flow.numel() == 0:
        raise VideoJamError(
            expected="at least one flow field",
            found="none",
            where="flow",
            fix="Use a clip of two frames or more.",
        )
    if not bool(torch.isfinite(flow).all()):
        raise _not_finite("flow")
    full_scale = code.full_scale_px(*(size_px or flow.shape[-2:]))
    u, v = flow.float().unbind(-3)
    drawn = CURVES[code.curve].apply((torch.hypot(u, v) / full_scale).clamp_max_(1)).flatten()
    # torch.quantile refuses more than 2²⁴ values.
    median, p99 = (float(drawn.kthvalue(1 + round(q * (drawn.numel() - 1))).values) for q in (0.5, 0.99))
    warning = None
    if p99 < INVISIBLE_BELOW:
        warning = (
            f"motion is nearly invisible: 99 % of pixels are drawn below m = {p99:.3f} "
            f"({255 * p99:.0f} of 255 levels; m = 1 is {full_scale:.0f} px/frame). "
            f"Lower the motion code's scale (now {code.scale:g}) or use curve sqrt or log (now {code.curve})."
        )
    return MagnitudeReport(median, p99, warning)


def _draw(flow: Tensor, code: MotionCode, dtype: torch.dtype) -> Tensor:
    """Eq. 5 block by block, so that no intermediate leaves the cache."""
    *batch, channels, height, width = flow.shape
    if channels != 2 or not flow.is_floating_point():
        raise VideoJamError(
            expected="floating-point flow of shape [..., 2, H, W]",
            found=f"{flow.dtype} of shape {list(flow.shape)}",
            where="flow → RGB",
            fix="Pass (u, v) in px/frame on the third axis from the end.",
        )
    full_scale = code.full_scale_px(height, width)
    rgb = torch.empty((*batch, 3, height, width), dtype=dtype, device=flow.device)
    _in_blocks(lambda uv, out: _draw_block(uv, out, code, full_scale), flow, rgb)
    return rgb


def _in_blocks(function: Callable[[Tensor, Tensor], None], source: Tensor, target: Tensor) -> None:
    """Call `function(source, target)` on blocks [N, C, P] of both, small enough to stay in a CPU's cache."""
    height, width = source.shape[-2:]
    if source.numel() == 0:
        return
    # Contiguous, because PyTorch's strided loops are slower and round differently.
    source, target = (x.contiguous().view(-1, x.shape[-3], height * width) for x in (source, target))
    num_all, _, num_px = source.shape
    block = BLOCK_PX if source.device.type == "cpu" else num_all * num_px
    num_frames = max(1, block // num_px)
    for i in range(0, num_all, num_frames):
        for p in range(0, num_px, block):
            here = slice(i, i + num_frames), slice(None), slice(p, p + block)
            function(source[here].float(), target[here])


def _draw_block(flow: Tensor, rgb: Tensor, code: MotionCode, full_scale: float) -> None:
    """Draw `flow` [N, 2, P] into `rgb` [N, 3, P], float in 0..1 or uint8."""
    u, v = flow.unbind(1)
    speed = torch.addcmul(u * u, v, v)
    # One sum finds NaN and infinity; a finite flow whose square overflows is looked at again.
    if not math.isfinite(float(speed.sum())) and not bool(torch.isfinite(flow).all()):
        raise _not_finite("flow")
    m = CURVES[code.curve].apply(speed.sqrt_().mul_(1 / full_scale).clamp_max_(1))
    h = torch.atan2(v, u).mul_(3 / math.pi)
    if rgb.dtype == torch.uint8:
        m = m.mul_(255)
    for channel, out in enumerate(rgb.unbind(1)):
        if channel == 0:
            hue = (2 - h.abs()).clamp_(0, 1)
        else:
            hue = (h + 1 if channel == 1 else h - 1).abs_().sub_(1).clamp_(0, 1)
        colour = STYLES[code.style].paint(hue, m, _white(rgb))
        # The cast to uint8 truncates, hence the half.
        out.copy_(colour.add_(0.5) if rgb.dtype == torch.uint8 else colour)


def _read_block(rgb: Tensor, flow: Tensor, code: MotionCode, full_scale: float) -> None:
    """Read `rgb` [N, 3, P] into `flow` [N, 2, P]."""
    if not math.isfinite(float(rgb.sum())):
        raise _not_finite("motion colours")
    red, green, blue = rgb.clamp(0, 1).unbind(1)
    largest = torch.maximum(torch.maximum(red, green), blue)
    smallest = torch.minimum(torch.minimum(red, green), blue)
    chroma = (largest - smallest).clamp_min_(torch.finfo(torch.float32).tiny)
    sector = torch.where(
        largest == red,
        (green - blue) / chroma,
        torch.where(largest == green, 2 + (blue - red) / chroma, 4 + (red - green) / chroma),
    )
    angle = sector.mul_(math.pi / 3)
    speed = CURVES[code.curve].invert(STYLES[code.style].strength(largest, smallest)).mul_(full_scale)
    torch.mul(speed, angle.cos(), out=flow[:, 0])
    torch.mul(speed, angle.sin_(), out=flow[:, 1])


def _white(rgb: Tensor) -> float:
    return 255.0 if rgb.dtype == torch.uint8 else 1.0


def _not_finite(what: str) -> VideoJamError:
    return VideoJamError(
        expected="finite numbers",
        found="NaN or infinity",
        where=what,
        fix="Remove the clip, or look for the fault in what produced it; it would spread to every output.",
    )
