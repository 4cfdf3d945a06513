"""Gathering what was scored: values by arm, measure and clip, and everything that is not as it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from videojam.bench.folder import Bench
from videojam.bench.manifest import Manifest, read_manifest
from videojam.bench.score.measures import Measure, measure_of
from videojam.bench.score.scoring import CLIP, scores_by_clip, stamp_of
from videojam.evaluation.vbench.aggregate import APPEARANCE, MOTION, appearance, motion


@dataclass(frozen=True)
class Problem:
    """One thing about one clip that a reader must know.

    Attributes:
        arm: Its arm.
        clip: Its name, or the name of a file that belongs to no clip.
        what: In words.
        excluded: Whether the clip, or the measure named, is in no figure.
    """

    arm: str
    clip: str
    what: str
    excluded: bool


@dataclass
class Collected:
    """Scores of a bench.

    Attributes:
        manifests: What made each arm.
        values: By arm, then by measure's key, then by clip.
        measures: By key, in the order in which the judges give them.
        problems: In the order of arms and clips.
        num_clips: Clips of each arm that are there and fit.
    """

    manifests: dict[str, Manifest] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    num_clips: dict[str, int] = field(default_factory=dict)


def collect(bench: Bench, arms: Sequence[str] | None = None) -> Collected:
    """Gather the scores of some arms, of all if not given; only scores of the clips as they are now count."""
    found = Collected()
    for arm in arms or bench.arms:
        manifest = read_manifest(bench, arm)
        if manifest is not None:
            found.manifests[arm] = manifest
            _collect_arm(bench, arm, manifest, found)
    return found


def _collect_arm(bench: Bench, arm: str, manifest: Manifest, found: Collected) -> None:
    lines: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for (clip, judge, scored), line in scores_by_clip(bench, arm).items():
        lines.setdefault(clip, {})[judge, scored] = line
    values: dict[str, dict[str, float]] = {}
    failures = bench.failures(arm)
    num_fit = 0
    for item in bench.items:
        stamp = stamp_of(bench.clip(arm, item))
        if stamp is None:
            found.problems.append(Problem(arm, item.key, failures.get(item.key, "missing"), True))
            continue
        by_judge = {
            judge: line for (judge, scored), line in lines.get(item.key, {}).items() if scored == stamp
        }
        own = by_judge.pop(CLIP, None)
        if own is None:
            found.problems.append(Problem(arm, item.key, "not scored yet", True))
            continue
        if own["problem"]:
            found.problems.append(Problem(arm, item.key, own["problem"], True))
            continue
        num_fit += 1
        if own.get("notice"):
            found.problems.append(Problem(arm, item.key, f"{own['notice']}; it counts", False))
        for judge, line in by_judge.items():
            if line["problem"]:
                found.problems.append(Problem(arm, item.key, f"{judge}: {line['problem']}", True))
            _add(found, values, judge, item.key, line["scores"])
    found.values[arm], found.num_clips[arm] = values, num_fit
    for file, reason in manifest.facts.get("unmatched", {}).items():
        found.problems.append(Problem(arm, file, f"not imported: {reason}", True))


def _add(
    found: Collected,
    values: dict[str, dict[str, float]],
    judge: str,
    clip: str,
    scores: dict[str, float | None],
) -> None:
    """Add a clip's scores, and the paper's aggregates where VBench measured all of their dimensions."""
    known = {name: value for name, value in scores.items() if value is not None}
    if judge.startswith("vbench"):
        # Linear in the dimensions, so the mean of clips' aggregates is the aggregate of means.
        for name, dimensions, formula in (("appearance", APPEARANCE, appearance), ("motion", MOTION, motion)):
            if all(dimension in known for dimension in dimensions):
                known[name] = formula({dimension: known[dimension] for dimension in dimensions})
    for name in (*scores, *(name for name in known if name not in scores)):
        measure = measure_of(judge, name)
        found.measures.setdefault(measure.key, measure)
        if name in known:
            values.setdefault(measure.key, {})[clip] = known[name]
