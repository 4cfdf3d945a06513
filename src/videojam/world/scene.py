"""A scene: rigid parts with analytic poses, and the facts that its caption states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from videojam.world.caption import CaptionFacts

Poses = NDArray[np.float64]
GREY_LINK, GREY_HUB, GREY_PILLAR, GREY_FLOOR = 60.0, 70.0, 28.0, 70.0


@dataclass(frozen=True)
class Part:
    """One rigid part: a capsule (a disc when `half_length_px` is 0) or a box, with a pose in each frame.

    Attributes:
        centre_px: [T, 2] (x right, y down), pixel centres at integers.
        angle_rad: [T] rotation of the part's long axis from +x towards +y.
        half_length_px: half of the long axis (of a capsule: of its core segment).
        radius_px: half of the thickness.
        rgb: [3] in 0..255.
        shape: capsule or box.
        moves: False for static scenery, such as an occluder.
    """

    centre_px: Poses
    angle_rad: Poses
    half_length_px: float
    radius_px: float
    rgb: NDArray[np.float32]
    shape: Literal["capsule", "box"] = "capsule"
    moves: bool = True


@dataclass(frozen=True)
class Scene:
    """Parts from back to front, and the caption's facts."""

    parts: tuple[Part, ...]
    facts: CaptionFacts


def grey(level: float) -> NDArray[np.float32]:
    """A desaturated colour, [3] in 0..255."""
    return np.full(3, level, dtype=np.float32)


def heading(word: str) -> NDArray[np.float64]:
    """Unit vector (x right, y down) of a direction word."""
    return np.array({"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[word], dtype=np.float64)
