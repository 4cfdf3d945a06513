"""Static, desaturated backgrounds: smooth light, per-pixel grain, and clutter."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from videojam.world.config import WorldConfig

CONTRAST = 26.0  # peak deviation from the base grey, in 0..255


def draw_background(rng: np.random.Generator, config: WorldConfig) -> NDArray[np.uint8]:
    """Draw one background, uint8 [3, H, W]: (1 − texture)·smooth + texture·grain around a base grey."""
    height, width = config.height, config.width
    coarse = rng.uniform(-1, 1, (5, 5)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.random((height, width), dtype=np.float32) * 2 - 1
    texture = (1 - config.texture) * smooth + config.texture * grain
    light = np.asarray(rng.uniform(150, 200) + CONTRAST * texture, dtype=np.float32)
    for _ in range(config.clutter):
        _draw_distractor(rng, light)
    tint = rng.uniform(-4, 4, (3, 1, 1)).astype(np.float32)  # far below any part's saturation
    return np.clip(light[None] + tint, 0, 255).astype(np.uint8)


def _draw_distractor(rng: np.random.Generator, light: NDArray[np.float32]) -> None:
    """Draw one grey box or disc, lighter than any occluder."""
    height, width = light.shape
    x, y = int(rng.integers(width)), int(rng.integers(height))
    level, size = float(rng.uniform(105, 245)), int(rng.integers(2, max(3, height // 8)))
    if rng.random() < 0.5:
        cv2.circle(light, (x, y), size, level, -1)
    else:
        cv2.rectangle(light, (x - size, y - size), (x + size, y + int(rng.integers(1, size + 1))), level, -1)
