"""Scores of judges that ran elsewhere, taken into a bench beside those of its own judges."""

from __future__ import annotations

from videojam.bench.folder import Bench
from videojam.bench.score.scoring import declare, score_arm
from videojam.errors import VideoJamError
from videojam.evaluation.external.clips import ExportClip
from videojam.evaluation.external.judge import ImportedScores
from videojam.evaluation.external.table import external_judge
from videojam.evaluation.judge import Declaration
from videojam.store import append_row, stamp_of


def clips_of_arm(bench: Bench, arm: str) -> list[ExportClip]:
    """Return an arm's clips with their prompts, for an export.

    Raises:
        VideoJamError: the arm has no clips.
    """
    clips = [
        ExportClip(bench.clip(arm, item), item.prompt.text)
        for item in bench.items
        if bench.clip(arm, item).exists()
    ]
    if not clips:
        raise VideoJamError(
            expected=f"an arm with clips; this bench has {', '.join(bench.arms) or 'none'}",
            found=repr(arm),
            where=str(bench.folder),
            fix="Correct the name, or generate or import its clips first.",
        )
    return clips


def take_scores(bench: Bench, arm: str, scores: ImportedScores) -> list[str]:
    """Write what an external judge found of an arm's clips; the report treats it like any other judge.

    A clip without a result, and one that was made again after the export, are listed as problems of that judge.

    Returns:
        The clips that were made again, whose results are not taken.

    Raises:
        VideoJamError: the judge scores whole runs only, or none of its clips is in the bench.
    """
    keys = {item.key for item in bench.items}
    if not scores.clips.keys() & keys:
        raise VideoJamError(
            expected=f"results of {scores.judge} for clips of this bench, by clip",
            found="figures of a whole run only" if scores.run else "no clip of this bench",
            where=f"{bench.folder}, arm {arm}",
            fix="Export the arm with `videojam judges export`, and give that export and its results.",
        )
    score_arm(bench, arm, [])
    declared = external_judge(scores.judge).measures
    declare(bench, Declaration(judge=scores.judge, measures=declared))
    given = {name for values in scores.clips.values() for name in values}
    measures = [measure.name for measure in declared if measure.name in given]
    made_anew = []
    for item in bench.items:
        values, stamp = scores.clips.get(item.key, {}), stamp_of(bench.clip(arm, item))
        if stamp is None:
            continue
        problem = None
        if values and scores.stamps.get(item.key, stamp) != stamp:
            made_anew.append(item.key)
            values, problem = {}, "made again after it was exported; export and judge it again"
        elif left := [name for name in measures if name not in values]:
            problem = f"no result for {', '.join(left)}"
        line = {
            "clip": item.key,
            "stamp": stamp,
            "judge": scores.judge,
            "scores": {name: values.get(name) for name in measures},
            "problem": problem,
        }
        append_row(bench.folder / "scores" / f"{arm}.0.jsonl", line)
    return made_anew
