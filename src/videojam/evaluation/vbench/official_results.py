"""Reading the result files of the official VBench (package 0.1.3 to 0.1.5)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videojam.errors import VideoJamError
from videojam.evaluation.vbench.aggregate import (
    DIMENSIONS,
    PER_FRAME,
    Aggregate,
    Dimension,
    aggregate_of,
)
from videojam.misfits import reason
from videojam.reading import stem_of

LAYOUT = '{"<dimension>": [aggregate, [{"video_path": …, "video_results": …}, …]], …}'
IMAGING_TOP = 100.0
"""Imaging quality is 0..100 for a clip and 0..1 in the aggregate."""


@dataclass(frozen=True)
class OfficialResults:
    """What the official package found.

    Attributes:
        clips: For each clip (file name without ending), raw values in 0..1; NaN where the file says so.
        aggregate: The file's own aggregates, and the paper's two from them.
        ignored: Dimensions in the file that the paper does not report.
    """

    clips: dict[str, dict[Dimension, float]]
    aggregate: Aggregate
    ignored: tuple[str, ...]


def read_official(*paths: str | Path) -> OfficialResults:
    """Read result files; several are merged (one a dimension, as many people run it).

    Args:
        paths: Files `…_eval_results.json`.

    Raises:
        VideoJamError: no result file, one of another version or tool, a dimension or clip twice, or an aggregate
            that is not what its clips give.
    """
    clips: dict[str, dict[Dimension, float]] = {}
    aggregates: dict[Dimension, float] = {}
    ignored: list[str] = []
    for path in map(Path, paths):
        for name, content in _load(path).items():
            if name not in DIMENSIONS:
                ignored.append(name)
                continue
            where = f"{path}: {name}"
            if name in aggregates:
                raise _error("each dimension once", f"{name} in more than one file", where)
            total, values = _dimension(name, content, where)
            aggregates[name] = total
            for clip, value in values.items():
                clips.setdefault(clip, {})[name] = value
    if not aggregates:
        found = f"only {', '.join(ignored)}" if ignored else "no dimension"
        raise _error(f"a dimension among {', '.join(DIMENSIONS)}", found, ", ".join(map(str, paths)))
    ordered: dict[Dimension, float] = {name: aggregates[name] for name in DIMENSIONS if name in aggregates}
    counts = {name: sum(name in clip for clip in clips.values()) for name in ordered}
    return OfficialResults(clips, aggregate_of(ordered, counts), tuple(ignored))


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _error("a result file of VBench", reason(error), str(path)) from error
    except ValueError as error:
        raise _error("JSON", f"{error}", str(path)) from error
    if not isinstance(content, dict):
        raise _error(LAYOUT, f"a {type(content).__name__}", str(path))
    return content


def _dimension(name: str, content: Any, where: str) -> tuple[float, dict[str, float]]:
    if isinstance(content, int | float):
        raise _error(LAYOUT, "only an aggregate (a leaderboard's summary?)", where)
    if not (isinstance(content, list) and len(content) == 2 and isinstance(content[1], list)):
        raise _error(LAYOUT, f"{str(content)[:60]} (VBench-2.0, or another tool?)", where)
    total, items = _number(content[0], where), content[1]
    if name == "imaging_quality" and total > 1:
        raise _error(
            "an aggregate in 0..1, as since 0.1.3", f"{total:g}: an older version's, in 0..100", where
        )
    values: dict[str, float] = {}
    for clip, value in _clip_values(items, where):
        if clip in values:
            raise _error("each clip once", f"{clip} twice", where)
        values[clip] = value / IMAGING_TOP if name == "imaging_quality" else value
    _check_total(name, total, values, where)
    return total, values


def _clip_values(items: Iterable[Any], where: str) -> Iterable[tuple[str, float]]:
    for item in items:
        if not (isinstance(item, dict) and "video_path" in item and "video_results" in item):
            raise _error(LAYOUT, f"{str(item)[:60]} in the list of clips", where)
        name = stem_of(str(item["video_path"]))
        yield name, _number(item["video_results"], f"{where}: {name}")


def _check_total(name: str, total: float, values: dict[str, float], where: str) -> None:
    """Check an aggregate against its clips: a mean over clips, or, over frames, at least between them."""
    if not values:
        raise _error("at least one clip", "none", where)
    if not all(math.isfinite(value) for value in values.values()):
        return  # the aggregate is NaN too, or of a partial run; the reader of `clips` sees which
    if name in PER_FRAME:
        low, high = min(values.values()), max(values.values())
        fits = low - 1e-6 <= total <= high + 1e-6
    else:
        fits = math.isclose(total, sum(values.values()) / len(values), rel_tol=1e-5, abs_tol=1e-6)
    if not fits:
        raise _error(
            "the aggregate of its clips", f"{total:g}, which they do not give (edited or cut?)", where
        )


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool | int | float):
        return float(value)
    raise _error(LAYOUT, f"{str(value)[:60]} where a number was expected (VBench-Long?)", where)


def _error(expected: str, found: str, where: str) -> VideoJamError:
    return VideoJamError(
        expected=expected,
        found=found,
        where=where,
        fix="Give files …_eval_results.json of the package vbench 0.1.3 to 0.1.5, or run it again: videojam vbench "
        "official.",
    )
