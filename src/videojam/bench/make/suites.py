"""Prompt suites: the two that ship, and a user's own file, in which known benchmarks are recognised."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from videojam import fingerprints
from videojam.errors import VideoJamError
from videojam.misfits import misfit
from videojam.reading import read_table, read_text
from videojam.strict import Strict

SHIPPED = ("motion-128", "world")
TEXT_COLUMNS = ("text", "prompt", "prompts", "caption", "prompt_en")
MAX_ID = 120
"""Letters of an id that go into file names."""
CATEGORY_COLUMNS = ("category", "kind", "motion_type", "motion_level", "concept")
VIDEOJAM_BENCH_SHA256 = "0e3c5043f9c09e8f649708d9f8e08f178f09af0daeb5ecb8e9e5823fa769c71f"
"""Of an unofficial list of VideoJAM-bench; the authors published none."""
MOVIE_GEN = "Movie Gen benchmark"
MOVIE_GEN_NUM_PROMPTS = 1003
MOVIE_GEN_LEVELS = {"low": 439, "medium": 299, "high": 265}


class Prompt(Strict):
    """One prompt of a suite."""

    id: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Unique; part of a clip's file name."
    )
    text: str = Field(min_length=1, description="What the model is asked for.")
    category: str | None = Field(None, description="Row of the breakdown.")
    tags: dict[str, str] = Field({}, description="Further columns of the file, kept as they are.")
    seed: int | None = Field(None, description="Seed of the scene, in the world suite.")


class Suite(Strict):
    """Prompts with what distinguishes one set from another."""

    name: str = Field(description="Name of a shipped or recognised suite, else the file's.")
    version: int | None = Field(None, description="Of a shipped suite.")
    note: str = Field("", description="Origin, in words.")
    prompts: tuple[Prompt, ...] = Field(min_length=1, description="In the order of the file.")

    @property
    def sha256(self) -> str:
        """Hash of the normalised prompts, in order: the same for the same set in any kind of file."""
        lines = "\n".join(normalise(prompt.text) for prompt in self.prompts)
        return fingerprints.of_text(lines)

    @property
    def categories(self) -> tuple[str, ...]:
        """Return the categories in the order in which they first occur."""
        return tuple(dict.fromkeys(prompt.category for prompt in self.prompts if prompt.category))


def limited(suite: Suite, num_prompts: int | None) -> Suite:
    """Return the first prompts of each category, for a quick look; all if no number is given."""
    if num_prompts is None:
        return suite
    seen: Counter[str | None] = Counter()
    chosen = []
    for prompt in suite.prompts:
        seen[prompt.category] += 1
        if seen[prompt.category] <= num_prompts:
            chosen.append(prompt)
    note = f"{suite.note} Only the first {num_prompts} of each category."
    return suite.model_copy(update={"prompts": tuple(chosen), "note": note.strip()})


def normalise(text: str) -> str:
    """Return a prompt without what editors change: outer and repeated space, quotes, case, a final stop."""
    text = text.replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"')
    return " ".join(text.split()).strip('"').rstrip(".").lower()


def load_suite(source: str | Path) -> Suite:
    """Load a shipped suite by name, or a user's file.

    A text file has a prompt a line; JSON is a list of strings or of objects, or an object with `prompts`; JSON Lines
    has a string or an object a line; CSV and TSV have a header with a prompt column. Further columns are kept as tags;
    `category`, `kind`, `motion_level` or `concept`, the first that is there, gives the breakdown.

    Args:
        source: `motion-128`, `world`, or a path.

    Raises:
        VideoJamError: no such suite or file, no prompts, duplicates, or a file that isn't what its suffix says.
    """
    if str(source) in SHIPPED:
        text = (files("videojam.bench.make") / "prompts" / f"{source}.json").read_text(encoding="utf-8")
        return Suite.model_validate_json(text)
    path = Path(source)
    if not path.is_file():
        raise VideoJamError(
            expected=f"a shipped suite ({', '.join(SHIPPED)}) or a file ({', '.join(READERS)})",
            found="a folder" if path.is_dir() else "no such file",
            where=str(source),
            fix="Correct the name or the path.",
        )
    rows = _rows(path)
    ids = [str(row.pop("id", "") or f"{i:04d}") for i, row in enumerate(rows, 1)]
    try:
        prompts = tuple(_prompt(id_, row, i) for i, (id_, row) in enumerate(zip(ids, rows, strict=True), 1))
    except ValidationError as error:
        raise _unfit(path, f"a prompt with {misfit(error)}") from None
    if not prompts:
        raise _unfit(path, "no prompt")
    name, note = _recognise(path, prompts)
    _check_duplicates(path, prompts, texts_too=name == path.stem)
    return Suite(name=name, note=note, prompts=prompts)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return one dict a prompt, its prompt under `text`; the suffix says how the file is read."""
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise _unfit(
            path, f"a file with the suffix {path.suffix!r}" if path.suffix else "a file without a suffix"
        )
    return read(path)


def _text_rows(path: Path) -> list[dict[str, Any]]:
    return [{"text": line.strip()} for line in _text(path).splitlines() if line.strip()]


def _table_rows(path: Path) -> list[dict[str, Any]]:
    return [_text_first(path, dict(row)) for row in read_table(path)]


def _json_rows(path: Path) -> list[dict[str, Any]]:
    content = _parsed(path, _text(path), "")
    rows = content.get("prompts") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise _unfit(path, "neither a list nor an object with `prompts`")
    return [_entry(path, row) for row in rows]


def _json_lines_rows(path: Path) -> list[dict[str, Any]]:
    lines = enumerate(_text(path).split("\n"), 1)  # JSON may hold other line breaks inside a string
    return [_entry(path, _parsed(path, line, f"line {n}: ")) for n, line in lines if line.strip()]


def _parsed(path: Path, text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _unfit(path, f"{where}no JSON: {error}") from None


def _entry(path: Path, row: Any) -> dict[str, Any]:
    if not isinstance(row, (str, dict)):
        raise _unfit(path, f"an entry {row!r}")
    return _text_first(path, {"text": row} if isinstance(row, str) else dict(row))


def _text(path: Path) -> str:
    return read_text(path, "a file of prompts")


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    ".txt": _text_rows,
    ".json": _json_rows,
    ".jsonl": _json_lines_rows,
    ".csv": _table_rows,
    ".tsv": _table_rows,
}
"""How a file of prompts is read, by its suffix in lower case."""


def _text_first(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    for column in TEXT_COLUMNS:
        if isinstance(row.get(column), str) and row[column].strip():
            return {"text": row.pop(column).strip(), **row}
    raise _unfit(path, f"an entry with {', '.join(map(str, row)) or 'nothing'}")


def _prompt(id_: str, row: dict[str, Any], number: int) -> Prompt:
    text = row.pop("text")
    tags = {str(name): str(value) for name, value in row.items() if value not in (None, "")}
    category = next((tags[name] for name in CATEGORY_COLUMNS if name in tags), None)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", id_).strip("-.")[:MAX_ID] or f"{number:04d}"
    return Prompt(id=safe, text=text, category=category, tags=tags)


def _recognise(path: Path, prompts: tuple[Prompt, ...]) -> tuple[str, str]:
    """Return (name, note) of a benchmark that is known by its prompts, else the file's name."""
    suite = Suite(name=path.stem, prompts=prompts)
    raw = fingerprints.of_file(path)
    for name in SHIPPED:
        if load_suite(name).sha256 == suite.sha256:
            return name, "a copy of the suite that ships"
    if VIDEOJAM_BENCH_SHA256 in (raw, suite.sha256):
        return "VideoJAM-bench", "an unofficial list; the authors published none"
    if len(prompts) == MOVIE_GEN_NUM_PROMPTS:
        levels = Counter(prompt.tags.get("motion_level", "") for prompt in prompts)
        if dict(levels) == MOVIE_GEN_LEVELS:
            return MOVIE_GEN, "known by its 1,003 prompts and their motion levels; CC BY-NC 4.0"
        if "movie" in path.stem.lower():
            return MOVIE_GEN, "taken to be it by its name and 1,003 prompts; CC BY-NC 4.0"
    return path.stem, f"prompts of {path.name}"


def _check_duplicates(path: Path, prompts: tuple[Prompt, ...], texts_too: bool) -> None:
    # A known benchmark is taken as it was published, even where it repeats itself.
    keys = {"id": [prompt.id for prompt in prompts]}
    if texts_too:
        keys["prompt"] = [normalise(prompt.text) for prompt in prompts]
    for what, values in keys.items():
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            places = ", ".join(str(i) for i, value in enumerate(values, 1) if value == twice[0])
            more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
            raise VideoJamError(
                expected=f"each {what} once",
                found=f"{twice[0]!r} as number {places}{more}",
                where=str(path),
                fix="Remove what is there twice; use --seeds for several clips of one prompt.",
            )


def _unfit(path: Path, found: str) -> VideoJamError:
    return VideoJamError(
        expected=f"prompts in a file {', '.join(READERS)}: one a line, or under one of {', '.join(TEXT_COLUMNS)}",
        found=found,
        where=str(path),
        fix="Write the prompts in one of these forms; docs/bench.md shows each.",
    )
