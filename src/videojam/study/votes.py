"""Taking a vote: only of its rater, only for what was given, once, and not before the clips can have played."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping

from videojam.study.assign import pairs_by_id
from videojam.study.config import Study
from videojam.study.exclusion import is_excluded
from videojam.study.raters import Rater
from videojam.study.refusal import RefusedError

SIDES = ("left", "right")
EARLIEST = 0.9
"""Of the clips' duration: a vote before that is refused, since they can't have been seen to the end."""


def take_vote(
    connection: sqlite3.Connection, study: Study, rater: Rater, assignment: str, answers: Mapping[str, str]
) -> str:
    """Write down a vote; the same vote again, from a page that got no answer, changes nothing.

    Args:
        connection: In a transaction that writes.
        study: The study.
        rater: Who votes.
        assignment: What was given to them.
        answers: "left" or "right" by question.

    Returns:
        The kind of assignment.

    Raises:
        RefusedError: not given to this rater, too early, other questions, or another vote than before.
    """
    found = connection.execute(
        "SELECT pair, kind, first_is_left, given_at, voted_at FROM assignments WHERE id = ? AND rater = ?",
        (assignment, rater.id),
    ).fetchone()
    if found is None:
        raise RefusedError(
            403, "This pair was not given to you, or its time is out. Reload the page to go on."
        )
    pair, kind, first_is_left, given_at, voted_at = found
    if set(answers) != set(study.questions) or not set(answers.values()) <= set(SIDES):
        raise RefusedError(400, "Each question needs one answer, left or right.")
    wins = {question: int((side == "left") == bool(first_is_left)) for question, side in answers.items()}
    if voted_at is not None:
        _check_same(connection, assignment, wins)
        return kind
    now = time.time()
    if now - given_at < EARLIEST * pairs_by_id(study)[pair].duration_s:
        raise RefusedError(425, "Watch both clips to the end first.")
    connection.executemany(
        "INSERT INTO answers (assignment, question, first_won) VALUES (?, ?, ?)",
        [(assignment, question, won) for question, won in wins.items()],
    )
    connection.execute("UPDATE assignments SET voted_at = ? WHERE id = ?", (now, assignment))
    if kind in ("pair", "check"):
        connection.execute(
            "UPDATE raters SET excluded = ? WHERE id = ?",
            (int(is_excluded(connection, study, rater.id)), rater.id),
        )
    return kind


def _check_same(connection: sqlite3.Connection, assignment: str, wins: dict[str, int]) -> None:
    before = dict(
        connection.execute("SELECT question, first_won FROM answers WHERE assignment = ?", (assignment,))
    )
    if before != wins:
        raise RefusedError(409, "You voted on this pair already.")
