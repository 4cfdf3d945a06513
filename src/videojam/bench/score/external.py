"""Scores of judges that ran elsewhere, taken into a bench beside those of its own judges."""

from __future__ import annotations

from videojam.bench.folder import Bench, append_line
from videojam.bench.score.scoring import declare, score_arm, stamp_of
from videojam.errors import VideoJamError
from videojam.evaluation.external.clips import ExportClip
from videojam.evaluation.external.imports import MEASURES, ImportedScores
from videojam.evaluation.judge import Declaration


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


def take_scores(bench: Bench, arm: str, scores: ImportedScores) -> None:
    """Write what an external judge said of an arm's clips; the report treats it like any other judge.

    A clip without a result is listed as a problem of that judge. Give the results only for clips that are still those
    that were exported: a clip made anew needs a new judgement.

    Raises:
        VideoJamError: the judge tells of whole runs alone, or none of its clips is in the bench.
    """
    keys = {item.key: item for item in bench.items}
    if not scores.clips.keys() & keys.keys():
        found = "figures of a whole run alone" if scores.run else "no clip of this bench"
        raise VideoJamError(
            expected=f"results of {scores.judge} for clips of this bench, by clip",
            found=found,
            where=f"{bench.folder}, arm {arm}",
            fix="Export the arm with `videojam judges export`, and give that export and its results.",
        )
    score_arm(bench, arm, [])
    declare(bench, Declaration(judge=scores.judge, measures=MEASURES[scores.judge]))
    measures = list(dict.fromkeys(name for values in scores.clips.values() for name in values))
    for key, item in keys.items():
        values, stamp = scores.clips.get(key, {}), stamp_of(bench.clip(arm, item))
        left = [name for name in measures if name not in values]
        if stamp is not None:
            line = {
                "clip": key,
                "stamp": stamp,
                "judge": scores.judge,
                "scores": {name: values.get(name) for name in measures},
                "problem": f"no result for {', '.join(left)}" if left else None,
            }
            append_line(bench.folder / "scores" / f"{arm}.0.jsonl", line)
