"""The votes of a study as rows, and its raters with the rule applied."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from statistics import median

from videojam.study.assign import pairs_by_id
from videojam.study.config import Pair, Study
from videojam.study.database import Database
from videojam.study.exclusion import Record, reason, record_of


@dataclass(frozen=True)
class Vote:
    """One answer to one question.

    Attributes:
        pair: What was shown.
        kind: practice, check, pair or repeat.
        question: Its name.
        rater: Number of the rater.
        first_won: Whether the pair's first clip was chosen.
        first_is_left: Whether it was A.
        took_s: From when the pair was given until the vote.
    """

    pair: Pair
    kind: str
    question: str
    rater: int
    first_won: bool
    first_is_left: bool
    took_s: float

    @property
    def left_won(self) -> bool:
        """Whether A was chosen."""
        return self.first_won == self.first_is_left


@dataclass(frozen=True)
class RaterRow:
    """A rater who gave votes.

    Attributes:
        rater: Number.
        label: Name of the link, or platform and id.
        platform: link, open, prolific, mturk or import.
        code: Completion code.
        num_pairs: Pairs voted on.
        record: What the rule looks at.
        num_repeats: Answers to repeats.
        num_agreed: Of them, the same as before.
        median_s: Of the times for a pair.
        excluded: Why the rule leaves them out; empty if not.
    """

    rater: int
    label: str
    platform: str
    code: str
    num_pairs: int
    record: Record
    num_repeats: int
    num_agreed: int
    median_s: float
    excluded: str


@dataclass(frozen=True)
class Tally:
    """Everything that was voted, in one state of the database.

    Attributes:
        study: The study.
        votes: All answers, of all raters.
        raters: Those who gave any, in the order in which they came.
        num_invited: Raters who have not voted.
        num_deleted: Raters who had their data deleted.
    """

    study: Study
    votes: list[Vote]
    raters: list[RaterRow]
    num_invited: int
    num_deleted: int

    def counted(self, kind: str = "pair") -> list[Vote]:
        """Return the votes of raters that the rule keeps."""
        out = {row.rater for row in self.raters if row.excluded}
        return [vote for vote in self.votes if vote.kind == kind and vote.rater not in out]


def read_tally(database: Database, study: Study) -> Tally:
    """Read the votes; the server may run meanwhile."""
    pairs = pairs_by_id(study)
    with database.read() as connection:
        rows = connection.execute(
            "SELECT pair, kind, question, rater, first_won, first_is_left, voted_at - given_at FROM answers "
            "JOIN assignments ON assignments.id = assignment ORDER BY voted_at"
        ).fetchall()
        votes = [Vote(pairs[p], k, q, r, bool(w), bool(left), s) for p, k, q, r, w, left, s in rows]
        people = connection.execute(
            "SELECT id, label, platform, code FROM raters WHERE deleted_at IS NULL ORDER BY id"
        ).fetchall()
        deleted = connection.execute("SELECT COUNT(*) FROM raters WHERE deleted_at IS NOT NULL").fetchone()[0]
        by_rater: dict[int, list[Vote]] = {}
        for vote in votes:
            by_rater.setdefault(vote.rater, []).append(vote)
        raters = [
            _row(connection, study, person, by_rater[person[0]]) for person in people if person[0] in by_rater
        ]
    return Tally(study, votes, raters, len(people) - len(raters), deleted)


def agreement(votes: list[Vote]) -> list[bool]:
    """Return, for each repeated question of a rater, whether the answer was the same again."""
    firsts = {(v.rater, v.pair.id, v.question): v.first_won for v in votes if v.kind == "pair"}
    repeats = [v for v in votes if v.kind == "repeat"]
    return [firsts[v.rater, v.pair.id, v.question] == v.first_won for v in repeats]


def _row(
    connection: sqlite3.Connection, study: Study, person: tuple[int, str, str, str], votes: list[Vote]
) -> RaterRow:
    number, label, platform, code = person
    record, agreed = record_of(connection, study, number), agreement(votes)
    times = {(v.pair.id, v.kind): v.took_s for v in votes}
    return RaterRow(
        rater=number,
        label=label,
        platform=platform,
        code=study.config.completion_code or code,
        num_pairs=len({v.pair.id for v in votes if v.kind == "pair"}),
        record=record,
        num_repeats=len(agreed),
        num_agreed=sum(agreed),
        median_s=round(median(times.values()), 2),
        excluded=reason(study, record),
    )
