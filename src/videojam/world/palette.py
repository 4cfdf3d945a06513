"""Eight saturated hues, far enough apart to be distinguished after a lossy codec or autoencoder."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

HUES_DEG: dict[str, float] = {
    "red": 0.0,
    "orange": 36.0,
    "yellow": 64.0,
    "green": 125.0,
    "cyan": 180.0,
    "blue": 228.0,
    "purple": 274.0,
    "pink": 320.0,
}
COLOURS: tuple[str, ...] = tuple(HUES_DEG)
SATURATION, VALUE = 0.92, 0.95
# Hues in one clip keep this distance, so that blends at their seams are no third part's hue.
MIN_HUE_GAP_DEG = 60.0


def colour_rgb(name: str) -> NDArray[np.float32]:
    """RGB of a palette colour, float32 [3] in 0..255."""
    rgb = colorsys.hsv_to_rgb(HUES_DEG[name] / 360.0, SATURATION, VALUE)
    return np.asarray(rgb, dtype=np.float32) * 255.0


def hue_gap_deg(a: float, b: float) -> float:
    """Distance of two hues on the circle, in degrees, 0..180."""
    return abs((a - b + 180.0) % 360.0 - 180.0)


def sample_colours(rng: np.random.Generator, num: int) -> tuple[str, ...]:
    """Draw `num` colours whose hues differ pairwise by at least `MIN_HUE_GAP_DEG`."""
    while True:
        names = [COLOURS[i] for i in rng.permutation(len(COLOURS))[:num]]
        gaps = [hue_gap_deg(HUES_DEG[a], HUES_DEG[b]) for i, a in enumerate(names) for b in names[:i]]
        if min(gaps, default=180.0) >= MIN_HUE_GAP_DEG:
            return tuple(names)
