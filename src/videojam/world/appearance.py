"""Appearance of a world clip, blind to the order of its frames, so that motion can't buy it nor it motion.

Every measure is a mean over a clip's frames of something read from one frame, or a deviation over frames.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from videojam.world.palette import HUES_DEG, colour_rgb, hue_gap_deg
from videojam.world.score import clip_frames, read_caption
from videojam.world.segment import Tracks, find_parts

CORE_COVERAGE, EDGE_LOW, EDGE_HIGH = 0.85, 0.3, 0.7


def appearance_measures(video: UInt8[Tensor, "t 3 h w"], caption: str) -> dict[str, float]:
    """Measure a clip's appearance against its caption's colours and a static grey background.

    Args:
        video: pixels in 0..255.
        caption: a sentence of the world's grammar.

    Returns:
        palette_error: RMS distance of part pixels from their palette colour, 0..1 (RGB).
        hue_error_deg: largest hue error of a part.
        edge_sharpness: mean slope of coverage on part edges, per px; about 0.3 when drawn with one px of
            antialias and read through the scorer's own smoothing.
        part_area_share: area of all parts over the frame's.
        part_area_spread: largest standard deviation of a part's area over its mean.
        background_error: RMS chroma of the background, 0..1.
        background_flicker: RMS deviation of background pixels from their mean over frames, 0..1.

        A measure that needs parts is NaN when no part is found.

    Raises:
        VideoJamError: the caption is outside the grammar, or the clip is too short or too small.
    """
    facts = read_caption(caption)
    frames = clip_frames(video)
    seen = find_parts(frames, facts.colours)
    # Values are sorted before any sum, so that not even rounding can tell the order of the frames.
    pixels = frames.astype(np.float32) / 255.0
    free = seen.coverage.max(axis=0) == 0
    area = np.sort(seen.area_px, axis=1)
    gaps = [hue_gap_deg(float(h), HUES_DEG[n]) for h, n in zip(seen.hue_deg, facts.colours, strict=True)]
    parts = bool(area.max() > 1)
    return {
        "palette_error": _palette_error(pixels, seen, facts.colours),
        "hue_error_deg": max(gaps) if parts else float("nan"),
        "edge_sharpness": _edge_sharpness(seen),
        "part_area_share": float(area.sum() / free.size),
        "part_area_spread": float((area.std(axis=1) / np.maximum(area.mean(axis=1), 1.0)).max()),
        "background_error": _background_chroma(pixels, free),
        "background_flicker": _flicker(pixels, free),
    }


def _palette_error(pixels: NDArray[np.float32], seen: Tracks, colours: tuple[str, ...]) -> float:
    """RMS RGB distance, over √3, from the palette colour in part cores: where a part is solid."""
    errors: list[NDArray[np.float32]] = []
    for mask, name in zip(seen.coverage, colours, strict=True):
        if not mask.any():
            continue
        solid = CORE_COVERAGE * np.percentile(mask[mask > 0], 90)
        core = pixels.transpose(0, 2, 3, 1)[mask > solid]
        errors.append(((core - colour_rgb(name) / 255.0) ** 2).mean(axis=1))
    return float(np.sqrt(np.sort(np.concatenate(errors)).mean())) if errors else float("nan")


def _edge_sharpness(seen: Tracks) -> float:
    total = seen.coverage.sum(axis=0)
    dy, dx = np.gradient(total, axis=(1, 2))
    edge = (total > EDGE_LOW) & (total < EDGE_HIGH)
    slope = np.sort(np.hypot(dx, dy)[edge])
    return float(slope.mean(dtype=np.float64)) if len(slope) else float("nan")


def _background_chroma(pixels: NDArray[np.float32], free: NDArray[np.bool_]) -> float:
    spread = (pixels - pixels.mean(axis=1, keepdims=True)) ** 2
    values = np.sort(spread.sum(axis=1)[free])
    return float(np.sqrt(values.mean(dtype=np.float64))) if len(values) else float("nan")


def _flicker(pixels: NDArray[np.float32], free: NDArray[np.bool_]) -> float:
    """Deviation over frames at pixels that stay background, from frames in an order of their own."""
    always = free.all(axis=0)
    if not always.any():
        return float("nan")
    values = np.sort(pixels[:, :, always], axis=0)
    return float(np.sqrt(values.var(axis=0, dtype=np.float64).mean()))
