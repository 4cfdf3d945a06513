"""Results of judges that ran elsewhere, by the names that the clips have here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from videojam.errors import VideoJamError
from videojam.evaluation.external.clips import ExportRecord, read_json, read_record
from videojam.evaluation.judge import Measure
from videojam.reading import read_table

VMBENCH = (
    "perceptible_amplitude_score",
    "object_integrity_score",
    "temporal_coherence_score",
    "motion_smoothness_score",
    "commonsense_adherence_score",
)
# Its table of averages spells one of them otherwise, and so do files that were made to fit it.
VMBENCH_SPELLINGS = {"perceptible_amplitude_socre": VMBENCH[0]}

VIDEOPHY = ("semantic_adherence", "physical_commonsense")
VIDEOPHY_HIGH = 4
"""VideoPhy-2 counts a clip as a success if both are at least this, of 1..5."""

MEASURES = {
    "vmbench": tuple(
        Measure(name=name, title=f"{name.replace('_', ' ')} (VMBench)", better="higher", headline=True)
        for name in VMBENCH
    ),
    "videophy": (
        *(
            Measure(
                name=name,
                title=f"{name.replace('_', ' ')} (VideoPhy)",
                unit="of 5",
                better="higher",
                headline=True,
            )
            for name in VIDEOPHY
        ),
        Measure(name="joint", title="joint (VideoPhy)", kind="share", better="higher", headline=True),
    ),
    "trajan": (
        Measure(name="average_jaccard", title="average Jaccard (TRAJAN)", better="higher", headline=True),
    ),
}

PHYSICS_IQ = {"final_score_view": "physics_iq_verified", "final_score_orig": "physics_iq"}


@dataclass(frozen=True)
class ImportedScores:
    """What a judge said.

    Attributes:
        judge: Its name.
        clips: Measures by clip; empty for a judge that only tells of a whole run.
        run: Measures of the whole run, where the judge's file has them.
        missing: Clips that were exported and have no result.
        unknown: Results of files that were not exported.
    """

    judge: str
    clips: dict[str, dict[str, float]]
    run: dict[str, float]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def import_results(export: str | Path, *results: str | Path) -> ImportedScores:
    """Read the results of an exported folder.

    Args:
        export: The folder that was exported.
        results: VMBench: `results.json`. VideoPhy: the CSV of semantic adherence, then that of physical commonsense.
            Physics-IQ: `…_metrics.json`. TRAJAN: CSV with `file` and `average_jaccard`.

    Raises:
        VideoJamError: no export, other files than the judge's, or a score that isn't a finite number.
    """
    record = read_record(export)
    return _READERS[record.judge](record, [Path(path) for path in results])


def _vmbench(record: ExportRecord, results: list[Path]) -> ImportedScores:
    (path,) = _exactly(record, results, "results.json")
    items = read_json(path)
    if not isinstance(items, list) or not all(isinstance(item, dict) and "index" in item for item in items):
        raise _wrong_layout(path, "a list of items with index and scores")
    found = {}
    for item in items:
        named = {VMBENCH_SPELLINGS.get(key, key): value for key, value in item.items()}
        name = str(item["index"])
        found[name] = {key: _number(named[key], f"{path}: {name}") for key in VMBENCH if key in named}
    if not any(found.values()):
        raise _wrong_layout(path, f"a score among {', '.join(VMBENCH)}")
    return _by_clip(record, {name: scores for name, scores in found.items() if scores})


def _videophy(record: ExportRecord, results: list[Path]) -> ImportedScores:
    paths = _exactly(record, results, "the CSV of semantic adherence", "the CSV of physical commonsense")
    found: dict[str, dict[str, float]] = {}
    for measure, path in zip(VIDEOPHY, paths, strict=True):
        for row in read_table(path, ("videopath", "score")):
            name = _stem(row["videopath"])
            found.setdefault(name, {})[measure] = _number(row["score"], f"{path}: {name}")
    for scores in found.values():
        if len(scores) == len(VIDEOPHY):
            scores["joint"] = float(all(scores[measure] >= VIDEOPHY_HIGH for measure in VIDEOPHY))
    return _by_clip(record, found)


def _physics_iq(record: ExportRecord, results: list[Path]) -> ImportedScores:
    (path,) = _exactly(record, results, "…_metrics.json")
    content = read_json(path)
    if not isinstance(content, dict) or not PHYSICS_IQ.keys() & content.keys():
        raise _wrong_layout(path, f"one of {', '.join(PHYSICS_IQ)}")
    run = {
        ours: _number(content[key], f"{path}: {key}") for key, ours in PHYSICS_IQ.items() if key in content
    }
    return ImportedScores(record.judge, {}, run, (), ())


def _trajan(record: ExportRecord, results: list[Path]) -> ImportedScores:
    (path,) = _exactly(record, results, "a CSV with file and average_jaccard")
    found = {}
    for row in read_table(path, ("file", "average_jaccard")):
        name = _stem(row["file"])
        found[name] = {"average_jaccard": _number(row["average_jaccard"], f"{path}: {name}")}
    return _by_clip(record, found)


_READERS: dict[str, Callable[[ExportRecord, list[Path]], ImportedScores]] = {
    "vmbench": _vmbench,
    "videophy": _videophy,
    "physics-iq": _physics_iq,
    "trajan": _trajan,
}


def _by_clip(record: ExportRecord, found: dict[str, dict[str, float]]) -> ImportedScores:
    clips = {record.files[name]: scores for name, scores in found.items() if name in record.files}
    missing = tuple(sorted(set(record.files.values()) - clips.keys()))
    unknown = tuple(sorted(found.keys() - record.files.keys()))
    return ImportedScores(record.judge, clips, {}, missing, unknown)


def _exactly(record: ExportRecord, results: list[Path], *what: str) -> Iterable[Path]:
    if len(results) != len(what):
        raise VideoJamError(
            expected=f"{' and '.join(what)} of {record.judge}",
            found=f"{len(results)} files",
            where="results",
            fix="Give them in that order.",
        )
    return results


def _stem(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).stem


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise VideoJamError(
            expected="a finite score",
            found=str(value)[:60],
            where=where,
            fix="Judge this clip again, or take its line out.",
        )
    return number


def _wrong_layout(path: Path, expected: str) -> VideoJamError:
    return VideoJamError(
        expected=expected, found="another layout", where=str(path), fix="Give the file that the judge wrote."
    )
