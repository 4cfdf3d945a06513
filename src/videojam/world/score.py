"""The coherence of a world clip, from only its pixels and its caption."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.world import laws
from videojam.world.ball_law import ball, find_pillar
from videojam.world.caption import TEMPLATES, CaptionFacts, parse_caption
from videojam.world.config import Kind
from videojam.world.kinds import REFERENCE_SIDE_PX
from videojam.world.laws import Finding
from videojam.world.palette import HUES_DEG, hue_gap_deg
from videojam.world.segment import Tracks, background_step, find_parts, nearest_colour

PART_NAMES: dict[Kind, tuple[str, ...]] = {
    "gait": ("body", "left leg", "right leg"),
    "chain": ("first joint", "middle joint", "last joint"),
    "ball": ("ball",),
    "wheel": ("first spoke", "second spoke", "third spoke"),
    "collision": ("first disc", "second disc"),
}
MIN_PART_AREA_PX = 25.0  # a third of the smallest part of a 64×64 clip
MOST_FRAMES = 0.7
MAX_BACKGROUND_STEP = 6.0  # of 255


@dataclass(frozen=True)
class ClipScore:
    """What the scorer found in one clip.

    Attributes:
        kind: the kind that the caption names.
        coherent: whether the law of motion holds.
        reasons: in words, why not; empty when coherent.
        measures: the figures behind it; lengths in px of a 64×64 clip unless the name says otherwise.
        follows_prompt: whether the caption's parts are there, in its colours and in its kind's arrangement.
    """

    kind: Kind
    coherent: bool
    reasons: tuple[str, ...]
    measures: dict[str, float]
    follows_prompt: bool


def score_clip(video: UInt8[Tensor, "t 3 h w"], caption: str) -> ClipScore:
    """Score a clip by the law of motion of the kind that its caption names.

    Args:
        video: pixels in 0..255, at least 9 frames of 32×32.
        caption: a sentence of the world's grammar.

    Raises:
        VideoJamError: the caption is outside the grammar, or the clip is too short or too small.
    """
    facts = read_caption(caption)
    frames = clip_frames(video)
    scale = min(frames.shape[2:]) / REFERENCE_SIDE_PX
    seen = find_parts(frames, facts.colours)
    found = _law(facts, seen, scale, frames)
    step = background_step(frames, seen)
    found.check("background_step", step, step < MAX_BACKGROUND_STEP, "the scene cuts to another background")
    reasons = tuple(dict.fromkeys(found.reasons))
    follows = _follows(facts, seen, scale, frames)
    return ClipScore(facts.kind, not reasons, reasons, found.measures, follows)


def read_caption(caption: str) -> CaptionFacts:
    """Parse a caption or say which sentences the scorer knows."""
    facts = parse_caption(caption)
    if facts is None:
        raise VideoJamError(
            expected="a caption of the world's grammar, such as " + repr(TEMPLATES["ball"]),
            found=repr(caption[:120]), where="caption",
            fix="score only clips of world captions (videojam world render writes them)",
        )  # fmt: skip
    return facts


def clip_frames(video: Tensor) -> NDArray[np.uint8]:
    """Check a clip's shape and hand its frames over as numpy [T, 3, H, W]."""
    frames = video.cpu().numpy()
    if frames.ndim != 4 or frames.shape[1] != 3 or len(frames) < 9 or min(frames.shape[2:]) < 32:
        raise VideoJamError(
            expected="a clip [T, 3, H, W] of at least 9 frames of 32×32", found=str(tuple(frames.shape)),
            where="video", fix="give the whole clip at its own size",
        )  # fmt: skip
    return frames


def _law(facts: CaptionFacts, seen: Tracks, scale: float, frames: NDArray[np.uint8]) -> Finding:
    roles = PART_NAMES[facts.kind]
    names = tuple(f"the {colour} {role}" for colour, role in zip(facts.colours, roles, strict=True))
    if facts.kind == "ball":
        return ball(seen, scale, names, frames)
    law = {"gait": laws.gait, "chain": laws.chain, "wheel": laws.wheel, "collision": laws.collision}
    return law[facts.kind](seen, scale, names)


def _follows(facts: CaptionFacts, seen: Tracks, scale: float, frames: NDArray[np.uint8]) -> bool:
    """Whether each named colour is there on most frames, as the kind arranges its parts."""
    large = seen.area_px > MIN_PART_AREA_PX * scale**2
    share = large.mean(axis=1)
    if (share < (0.3 if facts.kind == "ball" else MOST_FRAMES)).any():
        return False
    for name, hue in zip(facts.colours, seen.hue_deg, strict=True):
        if nearest_colour(float(hue)) != name and hue_gap_deg(float(hue), HUES_DEG[name]) > 12:
            return False
    return _arranged(facts.kind, seen, scale, frames)


def _arranged(kind: Kind, seen: Tracks, scale: float, frames: NDArray[np.uint8]) -> bool:
    """Whether the parts' shapes and places are those of the kind, on most frames."""
    centre, long = seen.centre_px, np.nanmedian(seen.elongation, axis=1)
    pillar = find_pillar(frames) is not None
    if kind == "ball":
        return pillar and bool(long[0] < 1.8)
    if pillar:
        return False
    if kind == "collision":
        return bool((long < 1.5).all())
    if kind == "gait":
        below = (centre[1:, :, 1] > centre[0, :, 1] + 4 * scale).all(axis=0)
        return _mostly(below & (centre[1, :, 0] < centre[2, :, 0])) and bool((long > 1.4).all())
    if kind == "chain":
        ends = np.hypot(*(centre[0] - centre[2]).T)
        links = [np.hypot(*(centre[i] - centre[1]).T) for i in (0, 2)]
        return _mostly(ends > np.maximum(*links)) and bool((long < 1.5).all())
    arms = centre - centre.mean(axis=0)
    radius = np.hypot(arms[..., 0], arms[..., 1])
    radial = np.abs(np.cos(seen.axis_rad - np.arctan2(arms[..., 1], arms[..., 0]))).min(axis=0)
    even = radius.min(axis=0) > 0.6 * radius.max(axis=0)
    return _mostly(even & (radial > 0.8)) and bool((long > 1.4).all())


def _mostly(condition: NDArray[np.bool_]) -> bool:
    return bool(condition.mean() >= MOST_FRAMES)
