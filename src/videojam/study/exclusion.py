"""The rule by which a rater is left out, fixed in the study before the first vote."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from videojam.study.config import Study


@dataclass(frozen=True)
class Record:
    """What the rule looks at.

    Attributes:
        num_checks: Answers to attention checks, on the questions that they are for.
        num_passed: Of them, won by the clip in the right order.
        num_left: Answers for the left clip.
        num_answers: Answers to pairs of the study.
    """

    num_checks: int
    num_passed: int
    num_left: int
    num_answers: int


def record_of(connection: sqlite3.Connection, study: Study, rater: int) -> Record:
    """Count what the rule looks at."""
    marks = ", ".join("?" * len(study.check_questions))
    checks = connection.execute(
        "SELECT COUNT(*), COALESCE(SUM(first_won), 0) FROM answers JOIN assignments ON assignments.id = assignment "
        f"WHERE rater = ? AND kind = 'check' AND question IN ({marks})",
        (rater, *study.check_questions),
    ).fetchone()
    sides = connection.execute(
        "SELECT COALESCE(SUM(first_won = first_is_left), 0), COUNT(*) FROM answers "
        "JOIN assignments ON assignments.id = assignment WHERE rater = ? AND kind = 'pair'",
        (rater,),
    ).fetchone()
    return Record(*checks, *sides)


def is_excluded(connection: sqlite3.Connection, study: Study, rater: int) -> bool:
    """Whether the rule leaves a rater out, by the answers so far."""
    return bool(reason(study, record_of(connection, study, rater)))


def reason(study: Study, record: Record) -> str:
    """Return why a rater is left out, in words; empty if they are not."""
    rule = study.config.exclusion
    if record.num_checks and record.num_passed < rule.min_checks_passed * record.num_checks:
        return f"passed {record.num_passed} of {record.num_checks} attention checks"
    most = max(record.num_left, record.num_answers - record.num_left)
    if record.num_answers >= rule.min_answers_for_side and most > rule.max_side_share * record.num_answers:
        side = "left" if most == record.num_left else "right"
        return f"{most} of {record.num_answers} answers on the {side}"
    return ""
