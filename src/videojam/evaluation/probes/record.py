"""The file of one probe of one model: settings, every clip's numbers, their summary; written whole, resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from videojam import provenance
from videojam.errors import VideoJamError
from videojam.evaluation.intervals import paired_difference
from videojam.files import write_text
from videojam.misfits import reason
from videojam.models.load import LoadedModel
from videojam.store import append_row, check_same, read_rows

FORMAT = 1

WRITE_FIX = "Free space or choose another --out; clips that were measured are kept."
LAYOUT = {"clips": list, "settings": dict, "summary": list | None, "complete": bool, "model": dict}

ProbeName = Literal["permutation", "noising", "guidance"]
Row = dict[str, Any]


class ProbeFile:
    """A probe's results on disk; rows of clips that were measured with the same settings are taken over.

    Rows are appended to FILE.unfinished.jsonl as they are measured, under a first line with the settings; the JSON
    file is written at the end, whole, and takes their place.

    Args:
        path: JSON file.
        probe: Which probe.
        settings: All, besides the clips, that decides a number.
        facts: What else to say: the model, the source of the clips.

    Raises:
        VideoJamError: there is a file of another probe, or of other settings; names the first that differs.
    """

    def __init__(self, path: Path, probe: ProbeName, settings: dict[str, Any], facts: dict[str, Any]) -> None:
        self.path, self.unfinished = path, unfinished_of(path)
        self.settings = {"probe": probe, "format": FORMAT, **settings}
        self.facts = facts
        self.rows: dict[str, Row] = {}
        if path.exists():
            stored = load_probe(path)
            self._check(stored["settings"], path)
            self.rows = {row["key"]: row for row in stored["clips"]}
        begun = read_rows(self.unfinished, fits=_is_line)
        first = next(begun, None)
        if first is not None:
            self._check(first.get("settings", {}), self.unfinished)
            self.rows |= {row["key"]: row for row in begun if "key" in row}

    def _check(self, stored: dict[str, Any], path: Path) -> None:
        fix = "Write to another file with --out, or remove this one."
        check_same(stored, self.settings, "as the file has it", path, fix)

    def add(self, row: Row) -> None:
        """Keep the row of one clip.

        Raises:
            VideoJamError: no room or permission.
        """
        if not self.unfinished.exists():
            append_row(self.unfinished, {"settings": self.settings}, WRITE_FIX)
        append_row(self.unfinished, row, WRITE_FIX)
        self.rows[row["key"]] = row

    def finish(self, asked: Sequence[str], left_out: dict[str, str], summary: Any) -> dict[str, Any]:
        """Write the rows of the asked clips in that order, and return the whole.

        Args:
            asked: Keys of the clips, all of them measured.
            left_out: Clips that can't be used, with the reason.
            summary: Of the rows.

        Raises:
            VideoJamError: no room or permission.
        """
        result = {
            "probe": self.settings["probe"],
            "complete": True,
            "num_clips": len(asked),
            **self.facts,
            "versions": provenance.versions(),
            "settings": json.loads(json.dumps(self.settings)),
            "summary": summary,
            "left_out": left_out,
            "clips": [self.rows[key] for key in asked],
        }
        write_text(self.path, json.dumps(result, indent=1, allow_nan=False) + "\n", WRITE_FIX)
        self.unfinished.unlink(missing_ok=True)
        return result


def unfinished_of(path: Path) -> Path:
    """Return where the rows of a probe's file are until all are there."""
    return path.with_name(f"{path.stem}.unfinished.jsonl")


def load_probe(path: str | Path) -> dict[str, Any]:
    """Read a probe's file.

    Raises:
        VideoJamError: no such file, or not one of a probe.
    """
    try:
        stored = json.loads(Path(path).read_bytes())
        if stored["probe"] not in get_args(ProbeName):
            found = f"a file of {stored['probe']!r}"
        elif _is_whole(stored):
            return stored
        else:
            found = "a damaged one"
    except FileNotFoundError:
        unfinished = unfinished_of(Path(path)).exists()
        found = "an unfinished one: run the probe again to complete it" if unfinished else "no such file"
    except OSError as error:
        found = reason(error)
    except (ValueError, KeyError, TypeError):
        found = "something else"
    raise VideoJamError(
        expected="a JSON file that `videojam probe permutation`, `noising` or `guidance` wrote",
        found=found,
        where=str(path),
        fix="Check the path, or choose another --out.",
    )


def _is_line(row: dict[str, Any]) -> bool:
    """Whether this is the row of a clip, or the settings that go before all rows."""
    return isinstance(row.get("key", ""), str) and isinstance(row.get("settings", {}), dict)


def _is_whole(stored: dict[str, Any]) -> bool:
    """Whether the values of a probe's file are of the kinds that were written."""
    if not all(isinstance(stored[key], kind) for key, kind in LAYOUT.items()):
        return False
    rows = all(isinstance(row, dict) and isinstance(row["key"], str) for row in stored["clips"])
    lines = all(isinstance(line, dict) for line in stored["summary"] or [])
    return rows and lines and isinstance(stored["model"]["source"], str)


def model_facts(model: LoadedModel) -> dict[str, Any]:
    """Return which model was probed, by its source and by a hash of its weights."""
    transformer = model.family.first_transformer(model.pipeline)
    return {
        "source": model.source,
        "pipeline": type(model.pipeline).__name__,
        "is_joint": model.is_joint,
        "record": model.record.model_dump(mode="json") if model.record else None,
        "device": str(next(transformer.parameters()).device),
    }


def model_settings(model: LoadedModel) -> dict[str, Any]:
    """Return what of a model decides a probe's numbers: hashes of its weights, motion code, text length."""
    return {
        "weights": model.weights,
        "motion": model.record.motion.model_dump(mode="json") if model.record else None,
        "max_sequence_length": model.defaults.max_sequence_length,
    }


def mean_interval(
    values: NDArray[np.float64], others: NDArray[np.float64] | None = None
) -> dict[str, float | int | None]:
    """Return the mean of values − others with its bootstrap interval over clips, others being 0 if not given.

    A single clip has no interval: `low` and `high` are None.
    """
    others = np.zeros_like(values) if others is None else others
    if len(values) < 2:
        return {"mean": float((values - others).mean()), "low": None, "high": None, "n": len(values)}
    return asdict(paired_difference(values, others))


def check_finite(values: Iterable[float], clip: str, where: str) -> None:
    """Raise if a number is NaN or infinite.

    Raises:
        VideoJamError: names the clip.
    """
    if not all(math.isfinite(value) for value in values):
        raise VideoJamError(
            expected="finite numbers",
            found="NaN or infinity",
            where=f"{clip}, {where}",
            fix="Check the model with videojam verify, and the clip; try --dtype float32.",
        )
