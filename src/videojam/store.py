"""Work that is kept as it is done, so that a run that was stopped goes on: rows in JSONL files, settings that agree."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from videojam import files
from videojam.errors import VideoJamError

WRITE_FIX = "Free space or choose another --out; what is finished is kept."
MAX_SHOWN = 80


def read_rows(
    path: Path, keys: Iterable[str] = (), fits: Callable[[dict[str, Any]], bool] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSONL file; a last line that a killed run left unfinished is passed over.

    Args:
        path: The file; no rows where there is none.
        keys: What each row must have.
        fits: Whether the values of a row that has them are such ones; if not given, any are.

    Raises:
        VideoJamError: names the line that is no such row.
    """
    keys = set(keys)
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n") and line.strip():
                yield _row(line, keys, fits or (lambda row: True), f"{path}, line {number}")


def append_row(path: Path, row: Mapping[str, Any], fix: str = WRITE_FIX) -> None:
    """Append a row to a JSONL file in one write; an unfinished line before it is dropped first.

    Args:
        path: The file; it and its folder are made where there are none.
        row: What JSON can hold, without NaN.
        fix: What to do when writing fails.

    Raises:
        VideoJamError: no room or permission.
    """
    line = json.dumps(row, allow_nan=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            _drop_torn_line(file)
            file.write(line)
    except OSError as error:
        raise files.refused(path, error, fix) from error


def check_same(
    stored: Mapping[str, Any], asked: Mapping[str, Any], what: str, where: str | Path, fix: str
) -> None:
    """Refuse to add to work that was done with other settings.

    Args:
        stored: Settings of what is there; compared as JSON has them.
        asked: Settings of now.
        what: What is there, for the error: "as …".
        where: The file or folder.
        fix: What to do.

    Raises:
        VideoJamError: names the first setting that differs, with both values; of settings in groups, as `motion.scale`.
    """
    stored, asked = (json.loads(json.dumps(settings)) for settings in (stored, asked))
    difference = _first_difference(stored, asked)
    if difference is not None:
        name, before, now = difference
        raise VideoJamError(
            expected=f"{name} = {_short(before)}, {what}",
            found=_short(now),
            where=str(where),
            fix=fix,
        )


def _first_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first name whose values differ, dotted where both are groups, and its values."""
    for name in [*before, *(name for name in now if name not in before)]:
        one, other = before.get(name), now.get(name)
        if one == other:
            continue
        inner = _first_difference(one, other) if isinstance(one, dict) and isinstance(other, dict) else None
        return (name, one, other) if inner is None else (f"{name}.{inner[0]}", *inner[1:])
    return None


def stamp_of(path: Path) -> str | None:
    """Return what changes when a file is written again: its size and time; None if it isn't there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def _row(line: bytes, keys: set[str], fits: Callable[[dict[str, Any]], bool], where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if isinstance(row, dict) and keys <= row.keys() and fits(row):
        return row
    raise VideoJamError(
        expected=f"an object with {', '.join(sorted(keys))}" if keys else "a JSON object",
        found=_short(line.decode(errors="replace").strip()),
        where=where,
        fix="Remove that line; what it held is done again by the next run.",
    )


def _drop_torn_line(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
