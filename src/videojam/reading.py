"""Text and tables as people and spreadsheets write them: UTF-8, with or without a byte order mark."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from videojam.errors import VideoJamError

DELIMITERS = ",;\t"
"""Spreadsheets write a semicolon where the comma is the decimal sign."""


def read_text(path: str | Path, what: str = "a text file", fix: str = "Check the path.") -> str:
    """Read a UTF-8 text file without its byte order mark.

    Args:
        path: The file.
        what: What it is to the user, for the error message.
        fix: What the user can do where it can't be read.

    Raises:
        VideoJamError: no such file, no permission, or bytes that are not UTF-8 text.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        from videojam.misfits import reason  # pydantic, which --help does without

        raise VideoJamError(expected=what, found=reason(error), where=str(path), fix=fix) from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16 without its mark decodes, but to every second letter
        raise VideoJamError(
            expected=what,
            found="bytes that are not UTF-8 text",
            where=str(path),
            fix="Save it as UTF-8 text.",
        )
    return text


def read_table(path: str | Path, columns: Iterable[str] = ()) -> list[dict[str, str]]:
    """Read a CSV file with a header line; the delimiter is the comma, semicolon or tab that the header has.

    Args:
        path: The file.
        columns: Columns that it must have.

    Returns:
        One dict a row: text by column, both without white space around them; an absent cell is empty.

    Raises:
        VideoJamError: it can't be read, columns are missing, or a row has more cells than the header.
    """
    text = read_text(path, "a CSV file")
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [_stripped(row, path, reader.line_num) for row in reader]
    except csv.Error as error:
        raise VideoJamError(
            expected="a CSV file",
            found=str(error),
            where=f"{path}, line {reader.reader.line_num}",
            fix="Put cells that hold quotes or line breaks between quotes, and double the quotes inside.",
        ) from None
    names = [name.strip() for name in reader.fieldnames or ()]
    missing = [column for column in columns if column not in names]
    if missing:
        raise VideoJamError(
            expected=f"a header line with the columns {', '.join(columns)}",
            found=", ".join(names) or "an empty file",
            where=str(path),
            fix=f"Name the column {missing[0]!r} in the first line.",
        )
    return rows


def stem_of(path: str) -> str:
    """Return a file's name without folders and suffix, from a path of any system as another tool wrote it."""
    return PurePosixPath(path.replace("\\", "/")).stem


def same_form(name: str) -> str:
    """Return a name in Unicode's composed form (NFC): macOS writes é in file names as two characters."""
    return unicodedata.normalize("NFC", name)


def _stripped(row: dict[str | None, str | list[str] | None], path: str | Path, line: int) -> dict[str, str]:
    extra = row.pop(None, None)
    if isinstance(extra, list) and any(cell.strip() for cell in extra):
        raise VideoJamError(
            expected="as many cells as the header line has",
            found=f"more: {', '.join(extra)!r}",
            where=f"{path}, line {line}",
            fix='Put text that holds the delimiter between quotes: "a cat, running".',
        )
    return {str(name).strip(): cell.strip() if isinstance(cell, str) else "" for name, cell in row.items()}
