"""Votes that were made elsewhere: Label Studio's JSON export, or a plain CSV."""

from __future__ import annotations

import datetime
import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videojam.bench.make.suites import normalise
from videojam.errors import VideoJamError
from videojam.files import written_whole
from videojam.reading import read_table, read_text
from videojam.study.config import QUESTIONS, Pair, Question, Study, StudyConfig
from videojam.study.create import write_study
from videojam.study.database import Database

COLUMNS = ("prompt", "rater", "question", "left", "right", "choice")
TASK_KEYS = ("prompt", "left_arm", "right_arm")
SIDES = {"left": 0, "a": 0, "1": 0, "right": 1, "b": 1, "2": 1}


@dataclass(frozen=True)
class Row:
    """A vote made elsewhere.

    Attributes:
        where: File and place, for messages.
        prompt: Text.
        rater: Name.
        question: Name.
        arms: On the left and on the right.
        choice: "left", "right", "a", "b", "1", "2", or the name of an arm.
        category: Of the prompt; may be empty.
    """

    where: str
    prompt: str
    rater: str
    question: str
    arms: tuple[str, str]
    choice: str
    category: str = ""


def import_votes(paths: Sequence[Path], out: Path, arm: str | None = None) -> tuple[Study, dict[str, str]]:
    """Make a study of votes that were made elsewhere; `videojam study report` reports it.

    Args:
        paths: Files.
        out: Folder to write; it must not exist yet.
        arm: Whose votes are reported; the first one found if not given.

    Returns:
        The study, and rows that hold no vote, with the reason.

    Raises:
        VideoJamError: a file that can't be read, no vote in any, or no such arm.
    """
    left_out: dict[str, str] = {}
    rows = list(_sound([row for path in paths for row in _rows(path, left_out)], left_out))
    if not rows:
        reasons = "; ".join(f"{where}: {why}" for where, why in list(left_out.items())[:3])
        raise VideoJamError(
            expected="votes", found=f"none ({reasons or 'no rows'})", where=", ".join(map(str, paths)),
            fix=f"Give a CSV with the columns {', '.join(COLUMNS)}; docs/human-study.md shows one.",
        )  # fmt: skip
    arms = tuple(dict.fromkeys(name for row in rows for name in row.arms))
    if arm is not None:
        if arm not in arms:
            raise VideoJamError(
                expected=f"one of the arms {', '.join(arms)}",
                found=repr(arm),
                where="--arm",
                fix="Correct the name.",
            )
        arms = (arm, *(name for name in arms if name != arm))
    pairs = _pairs(rows, arms)
    study = Study(
        id=secrets.token_hex(8),
        made_at=datetime.date.today().isoformat(),
        config=StudyConfig(questions=_questions(rows), num_checks=0, practice=False, repeat_share=0),
        arms=arms,
        pairs=tuple(pairs.values()),
        source=", ".join(path.name for path in paths),
    )
    with written_whole(out) as folder:
        folder.mkdir()
        write_study(folder, study)
        _write_votes(folder, study, rows, pairs)
    return study, left_out


def _rows(path: Path, left_out: dict[str, str]) -> Iterator[Row]:
    if path.suffix.lower() == ".json":
        yield from _label_studio(path, left_out)
        return
    for number, row in enumerate(read_table(path, COLUMNS), start=2):
        where = f"{path.name}, row {number}"
        if row.get("kind", "pair") not in ("", "pair"):
            left_out[where] = f"a {row['kind']}, not a vote of the study"
            continue
        yield Row(
            where, row["prompt"], row["rater"], row["question"], (row["left"], row["right"]), row["choice"],
            row.get("category", ""),
        )  # fmt: skip


def _label_studio(path: Path, left_out: dict[str, str]) -> Iterator[Row]:
    """Read an export: the task's data names prompt, left_arm and right_arm; results are pairwise or choices."""
    try:
        tasks = json.loads(read_text(path, "Label Studio's JSON export"))
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise ValueError("no list of tasks")
    except ValueError as error:
        raise VideoJamError(
            expected="Label Studio's JSON export: a list of tasks", found=str(error), where=str(path),
            fix="Export the project as JSON, not as JSON-MIN.",
        ) from None  # fmt: skip
    for task in tasks:
        where = f"{path.name}, task {task.get('id')}"
        data = _keys(task.get("data"))
        missing = [key for key in TASK_KEYS if not isinstance(data.get(key), str | int) or not data[key]]
        if missing:
            left_out[where] = f"its data has no {', '.join(missing)}"
            continue
        arms, category = (str(data["left_arm"]), str(data["right_arm"])), str(data.get("category") or "")
        annotations = _list(task.get("annotations"))
        if not annotations:
            left_out[where] = "no annotation"
        for number, annotation in enumerate(map(_keys, annotations), start=1):
            here = f"{where}, annotation {number}"
            results = _list(annotation.get("result"))
            if annotation.get("was_cancelled") or not results:
                left_out[here] = "cancelled or empty"
                continue
            for result in map(_keys, results):
                question, choice = str(result.get("from_name", "")), _choice(_keys(result.get("value")))
                place = f"{here}, {question}"
                yield Row(place, str(data["prompt"]), _who(annotation), question, arms, choice, category)


def _choice(value: dict[str, Any]) -> str:
    """Return what was chosen, of a Pairwise or a Choices tag."""
    choices = _list(value.get("choices"))
    return str(value.get("selected") or (choices[0] if len(choices) == 1 else ""))


def _who(annotation: dict[str, Any]) -> str:
    """Return who voted; empty where that is not said, as raters that are not known apart are no raters."""
    by = annotation.get("completed_by")
    who = by.get("id", by.get("email")) if isinstance(by, dict) else by
    return "" if who is None else str(who)


def _keys(value: Any) -> dict[str, Any]:
    """Return a mapping of the export; empty where something else is in its place."""
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    """Return a list of the export; empty where something else is in its place."""
    return value if isinstance(value, list) else []


def _sound(rows: list[Row], left_out: dict[str, str]) -> Iterator[Row]:
    """Yield the rows that hold a vote; each rater has one for a question of a pair."""
    seen: set[tuple[str, str, str, frozenset[str]]] = set()
    for row in rows:
        key = (row.rater, row.question, normalise(row.prompt), frozenset(row.arms))
        why = ""
        if not all((row.prompt, row.rater, row.question, *row.arms)):
            why = "an empty cell"
        elif row.arms[0] == row.arms[1]:
            why = f"{row.arms[0]!r} on both sides"
        elif _left_won(row) is None:
            why = f"{row.choice!r} is neither a side nor one of its arms"
        elif key in seen:
            why = "a second vote of this rater for this question of this pair"
        if why:
            left_out[row.where] = why
            continue
        seen.add(key)
        yield row


def _left_won(row: Row) -> bool | None:
    """Whether the left clip won; None if the choice says neither."""
    if row.choice in row.arms:
        return row.choice == row.arms[0]
    side = SIDES.get(row.choice.lower())
    return None if side is None else side == 0


def _pairs(rows: list[Row], arms: tuple[str, ...]) -> dict[tuple[str, frozenset[str]], Pair]:
    """Return the pairs by prompt and arms; the arm that comes first in `arms` is the pair's first."""
    pairs: dict[tuple[str, frozenset[str]], Pair] = {}
    for row in rows:
        text = normalise(row.prompt)
        first, second = sorted(row.arms, key=arms.index)
        key = (text, frozenset(row.arms))
        if key not in pairs:
            pairs[key] = Pair(
                id=secrets.token_hex(12),
                prompt_id=hashlib.sha256(text.encode()).hexdigest()[:16],
                prompt=row.prompt,
                category=row.category or None,
                arms=(first, second),
            )
    return pairs


def _questions(rows: list[Row]) -> tuple[Question, ...]:
    known = {question.name: question for question in QUESTIONS}
    names = {_question_name(row): row.question for row in rows}
    order = [*(name for name in known if name in names), *(name for name in names if name not in known)]
    return tuple(known.get(name) or Question(name=name, text=names[name]) for name in order)


def _question_name(row: Row) -> str:
    letters = "".join(c if c.isascii() and c.isalnum() else "_" for c in row.question.lower()).strip("_")
    return letters if letters[:1].isalpha() else f"question_{letters}"


def _write_votes(
    folder: Path, study: Study, rows: list[Row], pairs: dict[tuple[str, frozenset[str]], Pair]
) -> None:
    database = Database.open(folder, study)
    raters = {name: number for number, name in enumerate(dict.fromkeys(row.rater for row in rows), start=1)}
    with database.write() as connection:
        connection.executemany(
            "INSERT INTO raters (id, token_sha256, label, platform, code, made_at) VALUES (?, ?, ?, 'import', '', 0)",
            [(number, secrets.token_hex(32), name) for name, number in raters.items()],
        )
        given: dict[tuple[int, str], tuple[str, bool]] = {}
        for row in rows:
            pair = pairs[normalise(row.prompt), frozenset(row.arms)]
            first_is_left = row.arms[0] == pair.arms[0]
            key = (raters[row.rater], pair.id)
            if key not in given:
                given[key] = (secrets.token_hex(12), first_is_left)
                connection.execute(
                    "INSERT INTO assignments VALUES (?, ?, ?, 'pair', ?, 0, 0, 0)",
                    (given[key][0], *key, int(first_is_left)),
                )
            first_won = _left_won(row) == first_is_left
            connection.execute(
                "INSERT INTO answers VALUES (?, ?, ?)", (given[key][0], _question_name(row), int(first_won))
            )
    database.close()
