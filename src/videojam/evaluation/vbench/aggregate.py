"""VBench's constants, and the two figures that the paper prints: Appearance and Motion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from videojam.errors import VideoJamError

Dimension = Literal[
    "aesthetic_quality",
    "imaging_quality",
    "subject_consistency",
    "background_consistency",
    "motion_smoothness",
    "dynamic_degree",
]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
"""In the order of the paper's breakdown tables."""

RANGES: dict[Dimension, tuple[float, float]] = {
    "aesthetic_quality": (0.0, 1.0),
    "imaging_quality": (0.0, 1.0),
    "subject_consistency": (0.1462, 1.0),
    "background_consistency": (0.2615, 1.0),
    "motion_smoothness": (0.706, 0.9975),
    "dynamic_degree": (0.0, 1.0),
}
"""Raw values that become 0 and 1, of VBench's `scripts/constant.py`."""

WEIGHTS: dict[Dimension, float] = dict.fromkeys(DIMENSIONS, 1.0) | {"dynamic_degree": 0.5}
"""VBench's weights in a mean over dimensions."""

APPEARANCE: tuple[Dimension, ...] = DIMENSIONS[:4]
MOTION: tuple[Dimension, ...] = DIMENSIONS[4:]

# The official score of these is a mean over the frames of all clips, not over clips.
PER_FRAME: tuple[Dimension, ...] = ("subject_consistency", "background_consistency")


def normalise(dimension: Dimension, raw: float) -> float:
    """Map a raw value to VBench's scale, (raw − min)/(max − min), unclamped as VBench leaves it.

    Args:
        dimension: Its name.
        raw: As measured, 0..1.
    """
    low, high = RANGES[dimension]
    return (raw - low) / (high - low)


def appearance(raw: Mapping[Dimension, float]) -> float:
    """Return the paper's Appearance: the mean of its four normalised dimensions.

    Args:
        raw: Raw values in 0..1, for a clip or a method (the map is linear, so either order of means will do).
    """
    return _weighted(raw, APPEARANCE)


def motion(raw: Mapping[Dimension, float]) -> float:
    """Return the paper's Motion: (normalised smoothness + 0.5 · dynamic degree)/1.5.

    Args:
        raw: Raw values in 0..1, for a clip or a method.
    """
    return _weighted(raw, MOTION)


@dataclass(frozen=True)
class Aggregate:
    """What a set of clips scores.

    Attributes:
        dimensions: Raw score of each dimension that was measured, 0..1.
        num_clips: How many clips each score comes from.
        appearance: The paper's aggregate; None if one of its dimensions is missing.
        motion: The same.
    """

    dimensions: dict[Dimension, float]
    num_clips: dict[Dimension, int]
    appearance: float | None
    motion: float | None


def aggregate(
    clips: Sequence[Mapping[str, float]], num_frames: Sequence[int], *, skip_invalid: bool = False
) -> Aggregate:
    """Aggregate clips as VBench does: consistencies over the frames of all clips, the others over clips.

    Args:
        clips: For each clip, raw values in 0..1; names that are no dimension are ignored.
        num_frames: Frames of each clip, ≥ 1.
        skip_invalid: Leave a value that isn't finite out (`num_clips` counts the rest) instead of raising.

    Raises:
        VideoJamError: no clips, or a value that isn't finite.
        ValueError: lists of other lengths.
    """
    scores: dict[Dimension, float] = {}
    counts: dict[Dimension, int] = {}
    for dimension in DIMENSIONS:
        values, weights = [], []
        for index, (clip, frames) in enumerate(zip(clips, num_frames, strict=True)):
            value = clip.get(dimension)
            if value is None:
                continue
            if not math.isfinite(value):
                if skip_invalid:
                    continue
                raise VideoJamError(
                    expected="finite scores",
                    found=f"{value}",
                    where=f"{dimension}, clip {index}",
                    fix="Score the clip again or leave it out.",
                )
            values.append(value)
            weights.append(frames - 1 if dimension in PER_FRAME else 1)
        if sum(weights):
            total = sum(value * weight for value, weight in zip(values, weights, strict=True))
            scores[dimension], counts[dimension] = total / sum(weights), len(values)
    if not scores:
        raise VideoJamError(
            expected="at least one clip with a score",
            found=f"{len(clips)} clips, no scores",
            where="VBench aggregate",
            fix="Score clips first; the reasons of what could not be scored are beside each clip.",
        )
    return aggregate_of(scores, counts)


def aggregate_of(dimensions: dict[Dimension, float], num_clips: dict[Dimension, int]) -> Aggregate:
    """Return the scores of a set of clips with the paper's two figures, each where its dimensions are there.

    Args:
        dimensions: Raw score of each dimension that was measured, 0..1.
        num_clips: How many clips each score comes from.
    """
    return Aggregate(
        dimensions,
        num_clips,
        appearance(dimensions) if dimensions.keys() >= set(APPEARANCE) else None,
        motion(dimensions) if dimensions.keys() >= set(MOTION) else None,
    )


def _weighted(raw: Mapping[Dimension, float], dimensions: tuple[Dimension, ...]) -> float:
    total = sum(WEIGHTS[name] * normalise(name, raw[name]) for name in dimensions)
    return total / sum(WEIGHTS[name] for name in dimensions)
