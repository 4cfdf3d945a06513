"""The scorer's own validation: how many clips it passes, for each kind and each damage."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from videojam.world.config import WorldConfig
from videojam.world.damage import DAMAGES, TEMPORAL_DAMAGE, damaged_clip
from videojam.world.score import score_clip

# What the scorer must reach in each kind: all of the truth, nearly all of it behind soft or noisy pixels,
# and next to nothing of broken motion.
MIN_PASS_RATE = {"none": 1.0, "noise": 0.95, "blur": 0.95}
MAX_PASS_RATE = dict.fromkeys(TEMPORAL_DAMAGE, 0.10)


class Validation(NamedTuple):
    """Pass rates of one kind under one damage.

    Attributes:
        kind: kind of scene.
        damage: one of `DAMAGES`.
        num_clips: clips scored.
        coherent: share that the scorer calls coherent.
        follows_prompt: share that it finds to follow its caption.
        as_required: whether `coherent` meets the bound for this damage.
        reasons: most frequent reasons against coherence, without figures.
    """

    kind: str
    damage: str
    num_clips: int
    coherent: float
    follows_prompt: float
    as_required: bool
    reasons: tuple[str, ...]


def validation_table(
    num_clips: int, seed: int = 0, config: WorldConfig | None = None, damages: tuple[str, ...] = DAMAGES
) -> list[Validation]:
    """Score `num_clips` clips of each kind under each damage, with seeds from `seed` on."""
    config = config or WorldConfig()
    return [_validate(kind, damage, num_clips, seed, config) for kind in config.kinds for damage in damages]


def _validate(kind: str, damage: str, num_clips: int, seed: int, config: WorldConfig) -> Validation:
    scores = [
        score_clip(*damaged_clip(one, damage, config, kind)) for one in range(seed, seed + num_clips)
    ]  # fmt: skip
    coherent = sum(score.coherent for score in scores) / num_clips
    follows = sum(score.follows_prompt for score in scores) / num_clips
    ok = MIN_PASS_RATE.get(damage, 0.0) <= coherent <= MAX_PASS_RATE.get(damage, 1.0)
    reasons = Counter(reason.split(" on ")[0] for score in scores for reason in score.reasons)
    common = tuple(reason for reason, _ in reasons.most_common(3))
    return Validation(kind, damage, num_clips, coherent, follows, ok, common)
