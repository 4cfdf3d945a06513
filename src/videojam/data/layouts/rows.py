"""Rows of a table with the usual names of columns, from CSV, TSV, JSON, JSONL or Parquet, into clips."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from videojam.data.layouts.listing import SPLITS, ListedClip, Listing, name_of, split_of, text_of
from videojam.errors import VideoJamError
from videojam.reading import read_table, read_text

FILE_COLUMNS = ("file_name", "video", "video_path", "file_path", "media_path", "path", "file")
CAPTION_COLUMNS = ("text", "caption", "prompt", "cap", "captions")
START_COLUMNS = ("start_s", "start", "start_time")
END_COLUMNS = ("end_s", "end", "end_time")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")

Row = Mapping[str, Any]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a table of any of the formats.

    Raises:
        VideoJamError: it can't be read, or holds no rows.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return [dict(row) for row in read_table(path)]
    if suffix == ".parquet":
        return _parquet_rows(path)
    text = read_text(path, "a table of clips")
    if suffix == ".json":
        return _objects(_json(text, str(path)), path)
    lines = ((number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip())
    return _objects([_json(line, f"{path}, line {number}") for number, line in lines], path)


def column_of(row: Row, names: Iterable[str]) -> str | None:
    """Return the first of the names that a row has, in any case of letters."""
    own = {str(key).strip().lower(): key for key in row}
    return next((own[name] for name in names if name in own), None)


def has_clip_columns(rows: list[dict[str, Any]]) -> bool:
    """Whether rows name a file and a caption."""
    return (
        bool(rows)
        and column_of(rows[0], FILE_COLUMNS) is not None
        and column_of(rows[0], CAPTION_COLUMNS) is not None
    )


def add_rows(listing: Listing, rows: list[dict[str, Any]], table: Path, folders: tuple[Path, ...]) -> None:
    """Add a table's clips to a listing.

    Args:
        listing: Taken further in place.
        rows: Of the table.
        table: For error messages.
        folders: Where relative names are looked for, in this order.

    Raises:
        VideoJamError: the table has no column of files or of captions.
    """
    for what, names in (("files", FILE_COLUMNS), ("captions", CAPTION_COLUMNS)):
        if rows and not any(column_of(row, names) for row in rows):
            raise VideoJamError(
                expected=f"a column of {what}: {', '.join(names)}",
                found=", ".join(map(str, rows[0])) or "no columns",
                where=str(table),
                fix="Rename the column that holds them.",
            )
    for number, row in enumerate(rows, start=1):
        _add_row(listing, row, f"{table.name}, row {number}", folders)


def _add_row(listing: Listing, row: Row, where: str, folders: tuple[Path, ...]) -> None:
    named = row.get(column_of(row, FILE_COLUMNS) or "")
    if not isinstance(named, str) or not named.strip():
        listing.refuse(where, "the name of a video file", repr(named), "Fill in the cell, or remove the row.")
        return
    path = _located(named.strip(), folders)
    if path is None:
        listing.refuse(f"{named} ({where})", "a file", "no such file", "Correct the name, or add the file.")
        return
    name = name_of(path, listing.root)
    caption = text_of(row.get(column_of(row, CAPTION_COLUMNS) or ""))
    if not caption:
        listing.refuse(name, f"a caption in {where}", "none", "Describe the clip in one line.")
        return
    start, end = (_seconds(row, names) for names in (START_COLUMNS, END_COLUMNS))
    start_s = start or 0.0
    if start_s < 0 or (end is not None and not start_s < end) or math.nan in (start, end):
        listing.refuse(
            name, "0 ≤ start < end in s", f"start {start}, end {end}", f"Correct the times in {where}."
        )
        return
    clip_id = (
        name if start is None and end is None else f"{name}#{start_s:g}-{'' if end is None else f'{end:g}'}"
    )
    split = SPLITS.get(str(row.get("split", "")).lower(), split_of(name))
    listing.add(ListedClip(clip_id, path, caption, split, start_s, end), where)


def _located(named: str, folders: tuple[Path, ...]) -> Path | None:
    candidates = (folder / named for folder in folders)  # an absolute name stays as it is
    try:
        return next((path for path in candidates if path.is_file()), None)
    except (OSError, ValueError):  # too long, or a zero byte
        return None


def _seconds(row: Row, names: tuple[str, ...]) -> float | None:
    """Return a time in s; None where there is none, and NaN where it is no number."""
    value = row.get(column_of(row, names) or "")
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return math.nan
    return seconds if math.isfinite(seconds) else math.nan


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise VideoJamError(
            expected="JSON", found=str(error), where=where, fix="Correct the line, or write the file again."
        ) from None


def _objects(content: Any, path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON list; those of an object's one list, or of a mapping from file to caption."""
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        if content and all(isinstance(value, str) for value in content.values()):
            return [{"path": name, "caption": caption} for name, caption in content.items()]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise VideoJamError(
            expected="a list of objects, one a clip",
            found=type(content).__name__,
            where=str(path),
            fix='Write [{"path": "clip.mp4", "caption": "…"}, …].',
        )
    return content


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        wanted = [*FILE_COLUMNS, *CAPTION_COLUMNS, *START_COLUMNS, *END_COLUMNS, "split"]
        columns = [name for name in file.schema_arrow.names if name.lower() in wanted]
        rows: list[dict[str, Any]] = file.read(columns=columns).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise VideoJamError(
            expected="a Parquet file",
            found=str(error).splitlines()[0],
            where=str(path),
            fix="Download or write it again.",
        ) from None
    return rows
