"""Finding a clip's coloured parts in its pixels, only by hue.

A pixel is a blend α·colour + (1 − α)·grey, and grey has no chroma, so the projection of a pixel's chroma on
a part's hue is its coverage α. Legend: P parts, T frames, H W frame size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from videojam.world.palette import COLOURS, HUES_DEG, MIN_HUE_GAP_DEG, colour_rgb, hue_gap_deg

Array = NDArray[np.float64]
SMOOTHING_PX = 0.8  # pixel noise of 0.08 becomes 0.04 of a part's chroma
MIN_COVERAGE, MIN_STRENGTH = 0.3, 0.5
HUE_TOLERANCE_DEG = MIN_HUE_GAP_DEG / 2
PRESENT_SHARE = 0.35  # of the part's usual area


@dataclass(frozen=True)
class Tracks:
    """Where each part of a clip is, read from pixels.

    Attributes:
        coverage: [P, T, H, W] in 0..1.
        centre_px: [P, T, 2] weighted centroids (x, y); NaN where nothing is seen.
        area_px: [P, T] summed coverage.
        piece_share: [P, T] share of a part's pixels in its largest connected piece; 1 where nothing is seen.
        elongation: [P, T] long over short axis of the part's second moments.
        axis_rad: [P, T] direction of the long axis, from +x towards +y, modulo π.
        hue_deg: [P] hue of the part's summed chroma.
        foreign_px: [T] area of saturated pixels of no named hue.
    """

    coverage: NDArray[np.float32]
    centre_px: Array
    area_px: Array
    piece_share: Array
    elongation: Array
    axis_rad: Array
    hue_deg: Array
    foreign_px: Array

    @property
    def usual_area_px(self) -> Array:
        """[P] median area over the frames on which the part is seen."""
        areas = [a[a > 0.25 * a.max()] if a.max() > 0 else a for a in self.area_px]
        return np.array([float(np.median(a)) for a in areas])

    @property
    def seen(self) -> NDArray[np.bool_]:
        """[P, T] whether a part covers at least `PRESENT_SHARE` of its usual area."""
        return self.area_px > np.maximum(PRESENT_SHARE * self.usual_area_px[:, None], 4.0)


def chroma_plane(frames: NDArray[np.uint8]) -> NDArray[np.complex64]:
    """Chroma of [T,3,H,W] frames as complex numbers [T,H,W]: the angle is the hue, grey is 0."""
    r, g, b = (frames[:, i].astype(np.float32) / 255.0 for i in range(3))
    plane = np.empty(r.shape, dtype=np.complex64)
    plane.real = r - (g + b) / 2
    plane.imag = np.float32(np.sqrt(3) / 2) * (g - b)
    return plane


def colour_chroma(name: str) -> complex:
    """Chroma of a palette colour, as `chroma_plane` gives it."""
    frame = np.rint(colour_rgb(name)).astype(np.uint8).reshape(1, 3, 1, 1)
    return complex(chroma_plane(frame).item())


def nearest_colour(hue_deg: float) -> str:
    """The palette colour whose hue is closest."""
    return min(COLOURS, key=lambda name: hue_gap_deg(hue_deg, HUES_DEG[name]))


def find_parts(frames: NDArray[np.uint8], colours: tuple[str, ...]) -> Tracks:
    """Segment [T,3,H,W] frames into the named colours: each pixel goes to its nearest hue."""
    plane = _smooth(chroma_plane(frames))
    targets = [colour_chroma(name) for name in colours]
    units = np.array([t / abs(t) for t in targets], dtype=np.complex64)
    strength = np.abs(plane)
    along = np.stack([(plane * np.conj(unit)).real for unit in units])  # [P, T, H, W]
    owner = np.argmax(along, axis=0)
    near = along.max(axis=0) > strength * np.float32(np.cos(np.radians(HUE_TOLERANCE_DEG)))
    coverage = np.zeros_like(along)
    for i, target in enumerate(targets):
        mine = np.where((owner == i) & near, along[i], np.float32(0))
        alpha = np.minimum(mine / _full_strength(mine, abs(target)), 1.0)
        coverage[i] = np.where(alpha > MIN_COVERAGE, alpha, 0.0)
    foreign = (~near & (strength > 0.5 * min(abs(t) for t in targets))).sum(axis=(1, 2)).astype(np.float64)
    centre, area, elongation, axis = _moments(coverage)
    hues = [float(np.degrees(np.angle((plane * c).sum(dtype=np.complex128)))) % 360.0 for c in coverage]
    pieces = np.array([[_largest_piece(frame) for frame in part] for part in coverage])
    return Tracks(coverage, centre, area, pieces, elongation, axis, np.array(hues), foreign)


def _full_strength(strength: NDArray[np.float32], target: float) -> np.float32:
    """The chroma of the part's solid middle: a faded colour covers no less; within half the palette's."""
    strong = strength[strength > MIN_COVERAGE * target]
    typical = float(np.percentile(strong, 85)) if len(strong) else target
    return np.float32(np.clip(typical, MIN_STRENGTH * target, target))


def _smooth(plane: NDArray[np.complex64]) -> NDArray[np.complex64]:
    out = np.empty_like(plane)
    for i, frame in enumerate(plane):
        both = np.stack([frame.real, frame.imag], axis=-1)
        both = cv2.GaussianBlur(both, (0, 0), SMOOTHING_PX)
        out[i] = both[..., 0] + 1j * both[..., 1]
    return out


def _moments(coverage: NDArray[np.float32]) -> tuple[Array, Array, Array, Array]:
    """Centroids [P,T,2], areas, elongations and long axes [P,T] of soft masks."""
    _, _, height, width = coverage.shape
    x, y = np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)
    columns, rows = coverage.sum(axis=2, dtype=np.float64), coverage.sum(axis=3, dtype=np.float64)
    area = rows.sum(axis=-1)
    mass = np.where(area > 1.0, area, np.nan)
    cx, cy = columns @ x / mass, rows @ y / mass
    xx, yy = columns @ x**2 / mass - cx**2, rows @ y**2 / mass - cy**2
    xy = np.einsum("pthw,w,h->pt", coverage, x, y, optimize=True) / mass - cx * cy
    gap = np.sqrt((xx - yy) ** 2 / 4 + xy**2)
    middle = (xx + yy) / 2
    elongation = np.sqrt((middle + gap) / np.maximum(middle - gap, 1e-6))
    return np.stack([cx, cy], axis=-1), area, elongation, np.arctan2(2 * xy, xx - yy) / 2


def _largest_piece(mask: NDArray[np.float32]) -> float:
    solid = (mask > 0.5).astype(np.uint8)
    if not solid.any():
        return 1.0
    _, _, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    return float(sizes.max() / sizes.sum())


def background_step(frames: NDArray[np.uint8], tracks: Tracks) -> float:
    """How much more than usual the background changes at its largest step, in 0..255: a cut if large.

    Usual steps (noise, flicker, grey moving parts) are taken off as their median. The first step is left out:
    causal autoencoders code the first frame apart, and it comes back a little lighter or darker.
    """
    luma = frames.mean(axis=1, dtype=np.float32)
    free = tracks.coverage.max(axis=0) < 0.1
    steps = []
    for i in range(1, len(frames) - 1):
        change = np.abs(cv2.GaussianBlur(luma[i + 1] - luma[i], (0, 0), 1.5))
        both = free[i] & free[i + 1]
        steps.append(float(change[both].mean()) if both.any() else 0.0)
    return max(steps) - float(np.median(steps))
