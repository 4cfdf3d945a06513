"""Motion drawn for eyes: colours (Eq. 5) over a clip, arrows, trails of points, and the wheel that is their legend.

Every picture of motion in the project is made here, from frames and their T-1 flows. Directions have the colours of
the motion code in all of them, so that one wheel explains them all. Colours are those of the motion video that a
model predicts; an arrow in frame i shows where the flow from frame i to frame i+1 goes (in the last frame, the last
flow), and a trail where a point has come from.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.motion.code import MotionCode
from videojam.motion.flow import pad_flow
from videojam.motion.rgb import flow_to_rgb8
from videojam.motion.trails import follow_points

NUM_ALONG_SHORT_SIDE = 12
"""Arrows or points along the shorter side of a frame, where no spacing is given."""
MIN_SPACING_PX = 4
LONGEST = 0.9
"""Spacings that the arrow of the fastest hundredth of all pixels spans, where no length is given."""
MIN_ARROW_PX = 1.5
"""Shorter arrows are left out: what is still has none."""
TRAIL_FRAMES = 8
DIM = 0.55
"""What is left of a clip's brightness beneath arrows and trails."""
SUBPIXEL_BITS = 4
MIN_DRAWN_PX = 256
"""Shorter side at which `lines` draws; smaller clips are enlarged for it."""
LINES = ("arrows", "trails")


def wheel(code: MotionCode, size_px: int = 96) -> UInt8[Tensor, "3 size size"]:
    """Draw the legend: motion away from the centre, m = 1 of Eq. 5 at the rim.

    Args:
        code: Style, scale and curve of the motion that it explains.
        size_px: Side of the square around the wheel; the corners are drawn as the rim is.
    """
    line = torch.linspace(-1, 1, size_px)
    v, u = torch.meshgrid(line, line, indexing="ij")
    return flow_to_rgb8(torch.stack([u, v]) * code.full_scale_px(size_px, size_px), code)


def colours(
    frames: UInt8[Tensor, "t 3 h w"], flow: Float[Tensor, "flows 2 h w"], code: MotionCode
) -> UInt8[Tensor, "t 3 h w"]:
    """Draw the motion in place of the clip: the colours of Eq. 5.

    Args:
        frames: Of the clip; only their number counts.
        flow: T-1 flows in px/frame.
        code: How motion is drawn.
    """
    _check(frames, flow)
    return code.draw(flow)


def over(
    frames: UInt8[Tensor, "t 3 h w"], flow: Float[Tensor, "flows 2 h w"], code: MotionCode
) -> UInt8[Tensor, "t 3 h w"]:
    """Draw the colours of Eq. 5 over the clip, blended so that what is still looks as it is.

    Static is black in the style `value`, so colours are screened on: 1 - (1-a)(1-b); it is white in the style
    `saturation`, so they are multiplied: ab. Pages do the same by CSS (`MotionCode.blend`).

    Args:
        frames: Of the clip.
        flow: T-1 flows in px/frame.
        code: How motion is drawn.
    """
    clip, motion = frames.float() / 255, colours(frames, flow, code).float() / 255
    mixed = clip * motion if code.blend == "multiply" else 1 - (1 - clip) * (1 - motion)
    return mixed.mul_(255).round_().to(torch.uint8)


def arrows(
    frames: UInt8[Tensor, "t 3 h w"],
    flow: Float[Tensor, "flows 2 h w"],
    code: MotionCode,
    *,
    spacing_px: int | None = None,
    frames_ahead: float | None = None,
) -> UInt8[Tensor, "t 3 h w"]:
    """Draw an arrow from points of a grid to where the flow takes them, over the dimmed clip.

    Args:
        frames: Of the clip.
        flow: T-1 flows in px/frame.
        code: Whose wheel gives an arrow's colour by its direction.
        spacing_px: Of the grid; a twelfth of the shorter side if not given.
        frames_ahead: How many frames of motion an arrow spans, at the speed of its frame; if not given, as many as
            make the arrow of the fastest hundredth span 0.9 spacings, the same over the whole clip.
    """
    _check(frames, flow)
    flow = pad_flow(flow.float().cpu(), "last")
    spacing = spacing_px or _spacing(frames)
    length = frames_ahead or _frames_ahead(flow, spacing)
    height, width = frames.shape[2:]
    rows, columns = _grid(height, width, spacing)
    at = flow[:, :, rows][:, :, :, columns].flatten(2).transpose(1, 2)  # [T, points, 2]
    tints = _tints(at, code)
    starts = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    pictures = _canvas(frames)
    for picture, steps, tint in zip(pictures, (at * length).numpy(), tints, strict=True):
        seen = np.hypot(steps[:, 0], steps[:, 1]) >= MIN_ARROW_PX
        _draw_arrows(picture, starts[seen], (starts + steps)[seen], tint[seen], spacing)
    return _frames_of(pictures)


def trails(
    frames: UInt8[Tensor, "t 3 h w"],
    flow: Float[Tensor, "flows 2 h w"],
    code: MotionCode,
    *,
    spacing_px: int | None = None,
    num_frames: int = TRAIL_FRAMES,
) -> UInt8[Tensor, "t 3 h w"]:
    """Draw the way that points took over the last frames, by following the flow, over the dimmed clip.

    Args:
        frames: Of the clip.
        flow: T-1 flows in px/frame.
        code: Whose wheel gives the colour of each step by its direction.
        spacing_px: Of the grid on which points begin; a twelfth of the shorter side if not given.
        num_frames: How far back a trail reaches.
    """
    _check(frames, flow)
    spacing = spacing_px or _spacing(frames)
    pictures = _canvas(frames)
    thick = _thickness(spacing)
    head = round((0.7 * thick + 0.5) * 2**SUBPIXEL_BITS)
    ways = follow_points(flow.float().cpu(), spacing, num_frames)
    every_step = [np.diff(way.places, axis=0) for way in ways]
    colours_of_all = iter(
        _tints(torch.from_numpy(np.concatenate(every_step)).float()[None], code)[0].tolist()
    )
    for way, steps in zip(ways, every_step, strict=True):
        tint = list(islice(colours_of_all, len(steps)))
        places = _fixed(way.places)
        for number in range(1, len(way.places)):
            picture, oldest = pictures[way.first + number], max(0, number - num_frames)
            if np.abs(steps[oldest:number]).sum() < MIN_ARROW_PX:
                continue
            for step in range(oldest, number):
                cv2.line(
                    picture, places[step], places[step + 1], tint[step], thick, cv2.LINE_AA, SUBPIXEL_BITS
                )
            cv2.circle(picture, places[number], head, (255, 255, 255), -1, cv2.LINE_AA, SUBPIXEL_BITS)
    return _frames_of(pictures)


DRAWINGS: dict[str, Callable[[Tensor, Tensor, MotionCode], Tensor]] = {
    "colours": colours,
    "over": over,
    "arrows": arrows,
    "trails": trails,
}
"""Every way in which motion is drawn: (frames [T, 3, H, W], flow [T-1, 2, H, W], code) to frames."""


def lines(
    frames: UInt8[Tensor, "t 3 h w"], flow: Float[Tensor, "flows 2 h w"], code: MotionCode
) -> dict[str, Tensor]:
    """Draw arrows, and trails, over a clip, which is enlarged by a whole factor where it is small.

    Args:
        frames: Of the clip.
        flow: T-1 flows in px/frame.
        code: Whose wheel gives the colours.

    Returns:
        Frames by the name of the drawing.
    """
    larger = enlarged(frames, flow, max(1, -(-MIN_DRAWN_PX // min(frames.shape[2:]))))
    return {name: DRAWINGS[name](*larger, code) for name in LINES}


def enlarged(
    frames: UInt8[Tensor, "t 3 h w"], flow: Float[Tensor, "flows 2 h w"], factor: int
) -> tuple[Tensor, Tensor]:
    """Enlarge a small clip and its flow by a whole factor, without blur, so that arrows have room.

    Args:
        frames: Of the clip.
        flow: In px/frame; its vectors grow too.
        factor: How many times.
    """

    def larger(x: Tensor) -> Tensor:
        return x.repeat_interleave(factor, -1).repeat_interleave(factor, -2)

    return larger(frames), larger(flow) * factor


def _check(frames: Tensor, flow: Tensor) -> None:
    """Refuse flow that is not the clip's."""
    if len(flow) != len(frames) - 1 or flow.shape[-2:] != frames.shape[-2:]:
        size = f"{frames.shape[-1]}×{frames.shape[-2]} px"
        raise VideoJamError(
            expected=f"{len(frames) - 1} flows of {size}, one between every two frames",
            found=f"{len(flow)} of {flow.shape[-1]}×{flow.shape[-2]} px",
            where="drawing motion",
            fix="Give the flow of this clip, from MotionCode.read or a flow estimator.",
        )
    if not bool(torch.isfinite(flow).all()):
        raise VideoJamError(
            expected="finite flow",
            found="NaN or infinity",
            where="drawing motion",
            fix="Make the flow again with a flow estimator, or by MotionCode.read of the motion video.",
        )


def _spacing(frames: Tensor) -> int:
    return max(MIN_SPACING_PX, round(min(frames.shape[-2:]) / NUM_ALONG_SHORT_SIDE))


def _grid(height: int, width: int, spacing: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of a grid, its margins alike on opposite sides."""
    return tuple(np.arange((size - 1) % spacing // 2, size, spacing) for size in (height, width))  # type: ignore[return-value]


def _frames_ahead(flow: Tensor, spacing: int) -> float:
    """Return the frames of motion that make the fastest hundredth's arrows span `LONGEST` spacings."""
    fast = float(np.quantile(torch.hypot(flow[:, 0], flow[:, 1]).numpy(), 0.99))
    return LONGEST * spacing / fast if fast > 0.01 else 1.0


def _tints(vectors: Tensor, code: MotionCode) -> np.ndarray:
    """Return the fully saturated colours of directions: [n, points, 2] to uint8 [n, points, 3]."""
    directions = torch.nn.functional.normalize(vectors.double(), dim=-1).float()
    field = directions.movedim(-1, 0)[None]  # [1, 2, n, points]
    fastest = 1.001 * code.full_scale_px(*field.shape[-2:])  # drawn as m = 1, whatever the curve
    return flow_to_rgb8(field * fastest, code)[0].movedim(0, -1).numpy()


def _canvas(frames: Tensor) -> list[np.ndarray]:
    """Return the dimmed frames as pictures to draw into."""
    dimmed = frames.cpu().float().mul(DIM).round().to(torch.uint8).permute(0, 2, 3, 1)
    return [np.ascontiguousarray(picture) for picture in dimmed.numpy()]


def _frames_of(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _thickness(spacing: int) -> int:
    return max(1, round(spacing / 12))


def _draw_arrows(
    picture: np.ndarray, starts: np.ndarray, ends: np.ndarray, colours: np.ndarray, spacing: int
) -> None:
    """Draw arrows from [n, 2] to [n, 2] with a dark edge, which stands out on any ground."""
    thick = _thickness(spacing)
    lengths = np.hypot(*(ends - starts).T)
    tips = np.clip(0.3 * spacing / lengths, 0.25, 0.45).tolist()
    for start, end, colour, tip in zip(_fixed(starts), _fixed(ends), colours.tolist(), tips, strict=True):
        for rgb, wide in (((0, 0, 0), thick + 2), (colour, thick)):
            cv2.arrowedLine(picture, start, end, rgb, wide, cv2.LINE_AA, SUBPIXEL_BITS, tip)


def _fixed(places: np.ndarray) -> list[list[int]]:
    """Return places [n, 2] in OpenCV's fixed-point pixels; far outside is brought near, where int32 holds it."""
    near = np.clip(np.round(places * 2**SUBPIXEL_BITS), -(2**20), 2**20)
    fixed: list[list[int]] = near.astype(int).tolist()
    return fixed
