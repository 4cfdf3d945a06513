"""The six dimensions as one judge: each clip is decoded once and scored by all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import UInt8
from torch import Tensor

from videojam import fingerprints
from videojam.errors import VideoJamError
from videojam.evaluation.judge import Kind, Measure, NoValue
from videojam.evaluation.vbench.aggregate import (
    APPEARANCE,
    DIMENSIONS,
    MOTION,
    Dimension,
    appearance,
    motion,
)
from videojam.evaluation.vbench.consistency import ClipFeatures, DinoFeatures, consistency
from videojam.evaluation.vbench.dynamic_degree import DynamicDegree
from videojam.evaluation.vbench.quality import (
    aesthetic_quality,
    imaging_quality,
    load_aesthetic_head,
    load_musiq,
)
from videojam.evaluation.vbench.smoothness import AmtInterpolator, motion_smoothness
from videojam.evaluation.vbench.weights import VBenchParts

FREE: tuple[Dimension, ...] = (
    "aesthetic_quality",
    "subject_consistency",
    "background_consistency",
    "dynamic_degree",
)
"""Dimensions whose code and weights have no non-commercial licence."""

AGGREGATES = (("appearance", APPEARANCE, appearance), ("motion", MOTION, motion))
"""The paper's two figures. They are linear in the dimensions, so their mean over clips is that of the means."""

Scorer = Callable[[Tensor, float], float]


def _measure(name: str) -> Measure:
    kind: Kind = "share" if name == "dynamic_degree" else "score"
    title = f"VBench {name.replace('_', ' ')}"
    return Measure(name=name, title=title, kind=kind, unit="%", better="higher", headline=True, paper=name)


class VBenchJudge:
    """Own implementation of VBench's dimensions; see docs/vbench.md for each step.

    All parts are loaded here, so that what is missing is reported before any clip is scored.

    Args:
        dimensions: Which to measure.
        parts: Weights.
        device: Where to compute.

    Raises:
        VideoJamError: an unknown dimension, or a part that can't be loaded.
    """

    def __init__(
        self,
        dimensions: Iterable[str] = FREE,
        parts: VBenchParts | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        parts = parts or VBenchParts()
        wanted = set(dimensions)
        if not wanted or wanted - set(DIMENSIONS):
            raise VideoJamError(
                expected=f"dimensions among {', '.join(DIMENSIONS)}",
                found=", ".join(sorted(wanted - set(DIMENSIONS))) or "none",
                where="VBench",
                fix="Correct the names.",
            )
        self.name = _name(parts)
        self.take({n: _BUILDERS[n](parts, torch.device(device)) for n in DIMENSIONS if n in wanted})

    def take(self, scorers: dict[Dimension, Scorer]) -> None:
        """Measure by these scorers, and declare them and the aggregates that follow from them."""
        self.scorers = scorers
        self.aggregates = [one for one in AGGREGATES if scorers.keys() >= set(one[1])]
        names = [*scorers, *(name for name, _, _ in self.aggregates)]
        self.measures: tuple[Measure, ...] = tuple(map(_measure, names))

    def score(self, video: UInt8[Tensor, "t 3 h w"], fps: float | int, prompt: str) -> dict[str, float]:
        """Score a clip; a dimension that can't be measured is a `NoValue`: NaN with its reason.

        Args:
            video: Pixels.
            fps: True frame rate.
            prompt: Not used: these dimensions see only pixels.

        Returns:
            Raw values in 0..1, not normalised; dynamic degree is 0 or 1. Where all of their dimensions are measured,
            the paper's Appearance and Motion too.
        """
        scores: dict[Dimension, float] = {}
        for name, scorer in self.scorers.items():
            try:
                scores[name] = scorer(video, float(fps))
            except VideoJamError as error:
                scores[name] = NoValue(f"{error.found} (expected {error.expected})")
        found: dict[str, float] = dict(scores.items())
        for title, dimensions, formula in self.aggregates:
            gone = [name for name in dimensions if isinstance(scores[name], NoValue)]
            found[title] = NoValue(f"it needs {', '.join(gone)}") if gone else formula(scores)
        return found


def _name(parts: VBenchParts) -> str:
    """A judge with other weights has another name, so that scores are never mixed."""
    if parts == VBenchParts():
        return "vbench"
    return "vbench-" + fingerprints.of_text(parts.model_dump_json())[:8]


def _subject(parts: VBenchParts, device: torch.device) -> Scorer:
    features = DinoFeatures(parts.dino, device)
    return lambda video, fps: consistency(features(video))


def _background(parts: VBenchParts, device: torch.device) -> Scorer:
    features = ClipFeatures(parts.clip_background, device)
    return lambda video, fps: consistency(features(video))


def _aesthetic(parts: VBenchParts, device: torch.device) -> Scorer:
    head = load_aesthetic_head(parts.aesthetic_head, device)
    features = ClipFeatures(parts.clip_aesthetic, device)
    return lambda video, fps: aesthetic_quality(features(video), head)


def _imaging(parts: VBenchParts, device: torch.device) -> Scorer:
    network = load_musiq(parts.musiq, device)
    return lambda video, fps: imaging_quality(video, network)


def _smoothness(parts: VBenchParts, device: torch.device) -> Scorer:
    if parts.amt_code is None:
        raise VideoJamError(
            expected="AMT's code and weights, for motion smoothness",
            found="no amt_code",
            where="VBench",
            fix="Clone the AMT repository (CC BY-NC 4.0: for non-commercial use) and give its folder, or leave this "
            "dimension out.",
        )
    interpolate = AmtInterpolator(parts.amt_code, parts.amt_weights, device)
    return lambda video, fps: motion_smoothness(video, interpolate)


def _dynamic(parts: VBenchParts, device: torch.device) -> Scorer:
    decide = DynamicDegree(parts.raft, device)
    return lambda video, fps: float(decide(video, fps))


_BUILDERS: dict[Dimension, Callable[[VBenchParts, torch.device], Scorer]] = {
    "aesthetic_quality": _aesthetic,
    "imaging_quality": _imaging,
    "subject_consistency": _subject,
    "background_consistency": _background,
    "motion_smoothness": _smoothness,
    "dynamic_degree": _dynamic,
}
