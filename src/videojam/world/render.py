"""Drawing a scene and its exact flow.

Each part is drawn in a patch around its centre, for all frames at once, so the cost follows the parts' area.
Legend: T frames, H W frame size, N pixels that a part touches over the whole clip.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from videojam.world.scene import Part, Scene


class Drawing(NamedTuple):
    """A drawn scene: video uint8 [T,3,H,W], flow float32 [T-1,2,H,W] in px/frame, moving bool [T,H,W]."""

    video: NDArray[np.uint8]
    flow: NDArray[np.float32]
    moving: NDArray[np.bool_]


class _Coverage(NamedTuple):
    """The pixels that a part touches: frame, row and column [N], offset from its centre, alpha in 0..1."""

    frame: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    dx: NDArray[np.float32]
    dy: NDArray[np.float32]
    alpha: NDArray[np.float32]


def draw(scene: Scene, background: NDArray[np.uint8], num_frames: int) -> Drawing:
    """Draw parts back to front with one pixel of antialias; flow is the topmost part's rigid motion.

    Flow i lives on frame i's grid and points to frame i+1; (u, v) is right, down; the background has none.
    """
    _, height, width = background.shape
    num_pixels = height * width
    video = np.repeat(background[None], num_frames, axis=0)
    flow = np.zeros((num_frames - 1, 2, height, width), dtype=np.float32)
    moving = np.zeros((num_frames, height, width), dtype=np.bool_)
    for part in scene.parts:
        cover = _cover(part, height, width)
        place = cover.y * width + cover.x
        _blend(video.reshape(-1), cover.frame * 3 * num_pixels + place, num_pixels, cover.alpha, part.rgb)
        top = np.flatnonzero(cover.alpha >= 0.5)
        moving.reshape(-1)[cover.frame[top] * num_pixels + place[top]] = part.moves
        top = top[cover.frame[top] < num_frames - 1]
        where = cover.frame[top] * 2 * num_pixels + place[top]
        u, v = _rigid_flow(part, cover.frame[top], cover.dx[top], cover.dy[top])
        flow.reshape(-1)[where] = u
        flow.reshape(-1)[where + num_pixels] = v
    return Drawing(video, flow, moving)


def _cover(part: Part, height: int, width: int) -> _Coverage:
    """Coverage from the signed distance to a capsule or box in the part's own axes: alpha = ½ − distance."""
    half_x, half_y = _reach(part)
    middle = np.rint(part.centre_px).astype(np.int64)
    x = middle[:, 0, None] + np.arange(-half_x, half_x + 1)
    y = middle[:, 1, None] + np.arange(-half_y, half_y + 1)
    dx = (x - part.centre_px[:, 0, None]).astype(np.float32)[:, None, :]
    dy = (y - part.centre_px[:, 1, None]).astype(np.float32)[:, :, None]
    cos, sin = (f(part.angle_rad).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    along, across = np.abs(cos * dx + sin * dy), cos * dy - sin * dx
    along -= np.float32(part.half_length_px)
    if part.shape == "box":
        distance = np.maximum(along, np.abs(across) - np.float32(part.radius_px))
    else:
        np.maximum(along, 0, out=along)
        distance = np.sqrt(along * along + across * across) - np.float32(part.radius_px)
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    frame, row, column = np.nonzero((distance < 0.5) & inside)
    alpha = np.minimum(0.5 - distance[frame, row, column], 1.0)
    return _Coverage(
        frame, y[frame, row], x[frame, column], dx[frame, 0, column], dy[frame, row, 0], alpha
    )  # fmt: skip


def _reach(part: Part) -> tuple[int, int]:
    """Half width and half height of a patch that holds the part on every frame, with its antialias."""
    cos, sin = np.abs(np.cos(part.angle_rad)), np.abs(np.sin(part.angle_rad))
    long, thick = part.half_length_px, part.radius_px
    if part.shape == "box":
        reach = (long * cos + thick * sin).max(), (long * sin + thick * cos).max()
    else:
        reach = (long * cos).max() + thick, (long * sin).max() + thick
    return int(np.ceil(reach[0])) + 1, int(np.ceil(reach[1])) + 1


def _blend(
    video: NDArray[np.uint8],
    where: NDArray[np.int64],
    plane: int,
    alpha: NDArray[np.float32],
    rgb: NDArray[np.float32],
) -> None:
    for channel in range(3):
        index = where + channel * plane
        below = video[index].astype(np.float32)
        video[index] = (below + alpha * (rgb[channel] - below) + 0.5).astype(np.uint8)


def _rigid_flow(
    part: Part, frame: NDArray[np.int64], dx: NDArray[np.float32], dy: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Displacement of material points at (dx, dy) from the centre: R(Δθ)·d + Δc − d."""
    turn = np.diff(part.angle_rad)
    shift = np.diff(part.centre_px, axis=0).astype(np.float32)
    cos, sin = np.cos(turn).astype(np.float32)[frame], np.sin(turn).astype(np.float32)[frame]
    u = (cos - 1) * dx - sin * dy + shift[frame, 0]
    v = sin * dx + (cos - 1) * dy + shift[frame, 1]
    return u, v
