"""The ball's law: constant horizontal speed between walls, elastic bounces, hidden by the pillar on schedule.

The model predicts where the *visible* part of the ball is and how large, so frames on which the pillar hides
some of it or all of it count as well. Legend: N candidates, T frames; lengths in px of the given clip.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from videojam.world.fits import Array, fit_line
from videojam.world.kinds import FLOOR_HEIGHT_PX
from videojam.world.laws import MIN_R2, Finding
from videojam.world.segment import Tracks

PILLAR_LUMA = 0.3
MAX_X_RMS_PX, MAX_Y_RMS_PX, MAX_DELAY_FRAMES = 0.8, 1.1, 3.5
AREA_WEIGHT_PX = 5.0  # a wrong visible share of 0.2 counts as one pixel


class Pillar(NamedTuple):
    """The occluder's left and right edge in px, and how much they move over the clip."""

    left: float
    right: float
    shake_px: float


def find_pillar(frames: NDArray[np.uint8]) -> Pillar | None:
    """Find the dark pillar in [T,3,H,W] frames: the run of columns that are dark above the floor."""
    height = frames.shape[2]
    luma = frames[:, :, : int(height * 0.85)].mean(axis=(1, 2)) / 255.0  # [T, W]
    edges = [_dark_run(row) for row in luma]
    whole = _dark_run(np.median(luma, axis=0))
    if whole is None or any(edge is None for edge in edges):
        return None
    spread = np.std(np.array([e for e in edges if e is not None]), axis=0).max()
    return Pillar(*whole, float(spread))


def _dark_run(luma: Array) -> tuple[float, float] | None:
    """Edges, to a fraction of a pixel, of the longest run of dark columns."""
    dark = np.concatenate([[False], luma < PILLAR_LUMA, [False]])
    steps = np.flatnonzero(np.diff(dark.astype(np.int8)))
    if len(steps) == 0:
        return None
    starts, ends = steps[::2], steps[1::2]
    longest = int(np.argmax(ends - starts))
    first, last = int(starts[longest]), int(ends[longest]) - 1
    if not 0.1 * len(luma) < last - first < 0.6 * len(luma) or first == 0 or last == len(luma) - 1:
        return None
    left = first - 1 + (luma[first - 1] - PILLAR_LUMA) / (luma[first - 1] - luma[first])
    right = last + (PILLAR_LUMA - luma[last]) / (luma[last + 1] - luma[last])
    return float(left), float(right)


def ball(seen: Tracks, scale: float, names: tuple[str, ...], frames: NDArray[np.uint8]) -> Finding:
    """Check the law of the ball on its track and on the pillar in the frames."""
    found = Finding()
    height, width = frames.shape[2:]
    pillar = find_pillar(frames)
    if pillar is None:
        found.reasons.append("there is no dark pillar")
        return found
    found.check("pillar_shake_px", pillar.shake_px / scale, pillar.shake_px < 1.0 * scale, "the pillar moves")
    area = seen.area_px[0]
    full = float(np.percentile(area, 90))
    radius = float(np.sqrt(full / np.pi))
    share = np.minimum(area / max(full, 1.0), 1.2)
    found.measures["radius_px"] = radius
    if (share > 0.5).sum() < 6 or radius < 2.0 * scale:
        found.reasons.append(f"{names[0]} is hardly seen")
        return found
    _one_ball(seen, share, found, names[0])
    x, y = seen.centre_px[0].T
    _horizontal(x, share, radius, pillar, width, scale, found)
    floor = height - 0.5 - scale * FLOOR_HEIGHT_PX - radius
    _vertical(floor - y, share, scale, found)
    _schedule(x, share, radius, pillar, found)
    return found


def _one_ball(seen: Tracks, share: Array, found: Finding, name: str) -> None:
    double = int(((seen.piece_share[0] < 0.7) & (share > 0.3)).sum())
    found.check("double_frames", double, double <= 2, "there are two balls")
    large = float((seen.area_px[0] / np.percentile(seen.area_px[0], 75)).max())
    found.check("area_growth", large, large < 1.4, f"{name} changes its size")
    foreign = float(np.median(seen.foreign_px) / max(float(seen.usual_area_px[0]), 1.0))
    found.check("foreign_share", foreign, foreign < 0.3, "there is a part of a colour not in the caption")


def _visible(x: Array, radius: float, pillar: Pillar) -> tuple[Array, Array]:
    """Share of a disc at x that the pillar leaves visible, and that part's centroid.

    With d the distance from the disc's centre to the cut in radii (positive: most is visible), the circular
    segment has area share (arccos(−d) + d·√(1 − d²))/π and its centroid lies (2/3)(1 − d²)^{3/2}/(π·share)
    radii away from the pillar.
    """
    share, offset = np.zeros_like(x), np.zeros_like(x)
    for cut, side in ((pillar.left, -1.0), (pillar.right, 1.0)):
        d = np.clip(side * (x - cut) / radius, -1, 1)
        chord = np.sqrt(1 - d * d)
        part = (np.arccos(-d) + d * chord) / np.pi
        shift = side * radius * (2 / 3) * chord**3 / np.maximum(np.pi * part, 1e-6)
        larger = part > share
        share, offset = np.where(larger, part, share), np.where(larger, shift, offset)
    return share, x + offset


def _horizontal(
    x: Array, share: Array, radius: float, pillar: Pillar, width: int, scale: float, found: Finding
) -> None:
    """Fit x0 and vx, folded at the walls, to the visible centroid and the visible share."""
    t = np.arange(len(x), dtype=np.float64)
    low, high = radius - 0.5, width - 0.5 - radius
    use = share > 0.25

    def predict(params: Array) -> tuple[Array, Array]:
        path = params[:, :1] + params[:, 1:] * t
        path = low + np.abs(path - low)
        path = high - np.abs(high - path)
        return _visible(path, radius, pillar)

    def loss(params: Array) -> Array:
        seen_share, centre = predict(params)
        error = np.where(use, np.minimum((centre - np.where(use, x, 0)) ** 2, 100.0), 0)
        return np.asarray((error + (AREA_WEIGHT_PX * (seen_share - share)) ** 2).mean(axis=1))

    fastest = 90.0 / 64 * width / len(x)
    best = _search(loss, [(low - 2, high + 2, 45), (-fastest, fastest, 71)])
    seen_share, centre = predict(best[None])
    error = float(np.sqrt(np.mean((centre[0] - x)[use] ** 2)))
    spread = float(np.var(x[use]))
    r2 = 1 - error**2 / max(spread, 1e-9)
    found.check(
        "x_rms_px", error / scale, error < MAX_X_RMS_PX * scale, "the ball does not keep its horizontal speed"
    )
    found.check("x_r2", r2, r2 > MIN_R2, "the ball does not move across")
    gap = seen_share[0] - share
    lost, early = int((gap > 0.45).sum()), int((gap < -0.45).sum())
    found.check("lost_frames", lost, lost == 0, "the ball is hidden where nothing hides it")
    found.check("shown_frames", early, early == 0, "the ball shows where the pillar hides it")
    found.measures["velocity_x"] = float(best[1])


def _vertical(height: Array, share: Array, scale: float, found: Finding) -> None:
    """Fit gravity, apex and phase of elastic bounces to the height above the floor's contact."""
    use = share > 0.3
    t = np.arange(len(height), dtype=np.float64)[use]
    h = height[use]

    def predict(params: Array) -> Array:
        gravity, apex, phase = params[:, :1], params[:, 1:2], params[:, 2:]
        flight = 2 * np.sqrt(2 * apex / gravity)
        since = (t + phase * flight) % flight
        return np.asarray(gravity * since * (flight - since) / 2)

    def loss(params: Array) -> Array:
        return np.asarray(((predict(params) - h) ** 2).mean(axis=1))

    best = _search(loss, [(0.12 * scale, 0.4 * scale, 12), (14 * scale, 40 * scale, 14), (0.0, 1.0, 32)])
    error = float(np.sqrt(loss(best[None])[0]))
    r2 = 1 - error**2 / max(float(np.var(h)), 1e-9)
    found.measures["gravity"], found.measures["apex_px"] = float(best[0]), float(best[1])
    ok = error < MAX_Y_RMS_PX * scale and r2 > 0.95
    found.check("y_rms_px", error / scale, ok, "the ball does not fall and bounce under gravity")
    found.measures["y_r2"] = r2


def _search(loss, ranges: list[tuple[float, float, int]], num_rounds: int = 5) -> Array:  # type: ignore[no-untyped-def]
    """Minimise a vectorised loss on a grid, then on ever finer grids around the best points."""
    steps = np.array([(high - low) / (num - 1) for low, high, num in ranges])
    grid = np.stack(np.meshgrid(*(np.linspace(*r) for r in ranges), indexing="ij"), -1)
    grid = grid.reshape(-1, len(ranges))
    lowest = np.array([r[0] for r in ranges])
    highest = np.array([r[1] for r in ranges])
    best = grid[np.argsort(loss(grid))[:6]]
    offsets = np.stack(np.meshgrid(*[np.linspace(-1, 1, 5)] * len(ranges), indexing="ij"), -1)
    offsets = offsets.reshape(1, -1, len(ranges))
    for _ in range(num_rounds):
        near = np.clip(best[:, None] + offsets * steps, lowest, highest).reshape(-1, len(ranges))
        best = near[np.argsort(loss(near))[:6]]
        steps = steps / 2
    return best[0]


def _schedule(x: Array, share: Array, radius: float, pillar: Pillar, found: Finding) -> None:
    """Compare the frame on which the ball comes back with the one that its first frames announce."""
    hidden = np.flatnonzero(share < 0.5)
    if len(hidden) == 0:
        found.reasons.append("the ball does not pass behind the pillar")
        return
    first = int(hidden[0])
    back = np.flatnonzero((share > 0.5) & (np.arange(len(share)) > first))
    if len(back) < 2:
        found.reasons.append("the ball does not reappear")
        return
    before = np.arange(first)[share[:first] > 0.9]
    if len(before) < 3 or before[-1] - before[0] != len(before) - 1:
        return
    speed = float(fit_line(x[None, before]).coefficients[1, 0])
    if abs(speed) < 0.3:
        return
    # Half of the ball is behind the pillar's first edge on `first`, and half is past its second on `back`.
    expected = first + (pillar.right - pillar.left) / abs(speed)
    delay = float(back[0] - expected)
    found.measures["delay_frames"] = delay
    if abs(delay) > MAX_DELAY_FRAMES:
        found.reasons.append(f"the ball reappears {'late' if delay > 0 else 'early'}")
