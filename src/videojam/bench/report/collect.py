"""Gathering what was scored: values by arm, measure and clip, and everything that is not as it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from videojam.bench.folder import Bench
from videojam.bench.manifest import Manifest, read_manifest
from videojam.bench.score.scoring import CLIP, declarations, scores_by_clip
from videojam.evaluation.judge import Declaration, Measure
from videojam.store import stamp_of


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
        reasons: Why a value is what it is, where the judge says so; by arm, measure's key and clip.
        notes: What the judges say of their figures, by judge.
        problems: In the order of arms and clips.
        num_clips: Clips of each arm that are there and fit.
    """

    manifests: dict[str, Manifest] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)
    reasons: dict[str, dict[str, dict[str, list[str]]]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    num_clips: dict[str, int] = field(default_factory=dict)


def collect(bench: Bench, arms: Sequence[str] | None = None) -> Collected:
    """Gather the scores of some arms, of all if not given; only scores of the clips as they are now count."""
    found, declared = Collected(), declarations(bench)
    for arm in arms or bench.arms:
        manifest = read_manifest(bench, arm)
        if manifest is not None:
            found.manifests[arm] = manifest
            _collect_arm(bench, arm, manifest, found, declared)
    return found


def _collect_arm(
    bench: Bench, arm: str, manifest: Manifest, found: Collected, declared: dict[str, Declaration]
) -> None:
    lines: dict[str, dict[tuple[str, str | None], dict[str, Any]]] = {}
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
            _add(found, values, declared.get(judge), judge, item.key, line["scores"])
            for name, reasons in line.get("reasons", {}).items():
                found.reasons.setdefault(arm, {}).setdefault(f"{judge}.{name}", {})[item.key] = reasons
    found.values[arm], found.num_clips[arm] = values, num_fit
    for text, cut in manifest.facts.get("cut", {}).items():
        found.problems.append(Problem(arm, text, f"the text encoder cut it: {cut}; it counts", False))
    for file, reason in manifest.facts.get("unmatched", {}).items():
        found.problems.append(Problem(arm, file, f"not imported: {reason}", True))


def _add(
    found: Collected,
    values: dict[str, dict[str, float]],
    declared: Declaration | None,
    judge: str,
    clip: str,
    scores: dict[str, float | None],
) -> None:
    """Add a clip's scores; a measure that its judge has not declared is shown as it is."""
    known = {measure.name: measure for measure in declared.measures} if declared else {}
    if declared and declared.note:
        found.notes[judge] = declared.note
    for name, value in scores.items():
        measure = known.get(name) or Measure(name=name, title=f"{name.replace('_', ' ')} ({judge})")
        measure = measure.model_copy(update={"judge": judge})
        found.measures.setdefault(measure.key, measure)
        if value is not None:
            values.setdefault(measure.key, {})[clip] = value
