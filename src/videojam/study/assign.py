"""Who rates what next: the pair that has the fewest votes, with checks and repeats in between."""

from __future__ import annotations

import random
import secrets
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass

from videojam.study.config import Pair, Study
from videojam.study.raters import Rater

MIN_BETWEEN = 5
"""Pairs between one and its repeat."""


@dataclass(frozen=True)
class Assignment:
    """One pair for one rater.

    Attributes:
        id: Random; names it on the page.
        pair: What is shown.
        kind: practice, check, pair or repeat; the page learns only of practice.
        first_is_left: Whether the pair's first clip is A.
    """

    id: str
    pair: Pair
    kind: str
    first_is_left: bool


@dataclass(frozen=True)
class Progress:
    """How far a rater is.

    Attributes:
        done: Pairs voted on.
        total: Pairs in all, as far as can be said now.
    """

    done: int
    total: int


def pairs_by_id(study: Study) -> dict[str, Pair]:
    """Return everything that is shown, by id."""
    shown = (*study.pairs, *study.checks, *([study.practice] if study.practice else []))
    return {pair.id: pair for pair in shown}


def next_assignment(connection: sqlite3.Connection, study: Study, rater: Rater) -> Assignment | None:
    """Return what a rater is to see: the open assignment, also after the page was closed, or a new one.

    Args:
        connection: In a transaction that writes.
        study: The study.
        rater: Who asks.

    Returns:
        None where this rater is done, or no pair needs more votes.
    """
    rng, now = random.SystemRandom(), time.time()
    pairs = pairs_by_id(study)
    found = connection.execute(
        "SELECT id, pair, kind, first_is_left, expires_at FROM assignments WHERE rater = ? AND voted_at IS NULL",
        (rater.id,),
    ).fetchone()
    if found:
        name, pair, kind, first_is_left, expires_at = found
        if expires_at > now or kind != "pair" or pair in _needy(connection, study, rater, now):
            connection.execute(
                "UPDATE assignments SET given_at = ?, expires_at = ? WHERE id = ?",
                (now, now + study.config.timeout_s, name),
            )
            return Assignment(name, pairs[pair], kind, bool(first_is_left))
        connection.execute("DELETE FROM assignments WHERE id = ?", (name,))  # others have rated it meanwhile
    chosen = _choose(connection, study, rater, rng, now)
    if chosen is None:
        return None
    pair, kind, first_is_left = chosen
    given = Assignment(secrets.token_urlsafe(16), pairs[pair], kind, first_is_left)
    connection.execute(
        "INSERT INTO assignments (id, rater, pair, kind, first_is_left, given_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (given.id, rater.id, pair, kind, int(first_is_left), now, now + study.config.timeout_s),
    )
    return given


def progress(connection: sqlite3.Connection, study: Study, rater: Rater) -> Progress:
    """Return how far a rater is."""
    done = _done(connection, rater)
    left = _num_left(connection, study, rater, done["pair"])
    pairs = done["pair"] + left
    checks, repeats = _share_of(study, pairs, done)
    total = int(study.practice is not None) + pairs + checks + repeats
    return Progress(sum(done.values()), max(total, sum(done.values())))


def _choose(
    connection: sqlite3.Connection, study: Study, rater: Rater, rng: random.Random, now: float
) -> tuple[str, str, bool] | None:
    """Return pair, kind, and whether its first clip is on the left."""
    done = _done(connection, rater)
    side = rng.random() < 0.5
    if study.practice and not done["practice"]:
        return study.practice.id, "practice", side
    needy = _needy(connection, study, rater, now) if done["pair"] < study.config.pairs_per_rater else []
    checks, repeats = _share_of(study, done["pair"], done)
    # While pairs are left, each check comes at another place for each rater; at the end the rest follows.
    offset = (rater.id * 0.618) % 1 if needy else 0.0
    if done["check"] < (int(done["pair"] * study.config.check_share + offset) if needy else checks):
        check = _unseen_check(connection, study, rater, rng)
        if check:
            return check, "check", side
    if done["repeat"] < repeats:
        repeat = _repeat(connection, rater, rng, MIN_BETWEEN if needy else 1)
        if repeat:
            return repeat[0], "repeat", not repeat[1]
    return (needy[0], "pair", side) if needy else None


def _share_of(study: Study, num_pairs: int, done: Counter[str]) -> tuple[int, int]:
    """Return how many checks and repeats go with so many pairs; at least one check."""
    config = study.config
    checks = min(len(study.checks), max(round(num_pairs * config.check_share), int(config.check_share > 0)))
    if not num_pairs:
        checks = 0
    return max(checks, done["check"]), max(int(num_pairs * config.repeat_share), done["repeat"])


def _needy(connection: sqlite3.Connection, study: Study, rater: Rater, now: float) -> list[str]:
    """Return the pairs that need votes and that this rater has not voted on, those with the fewest first.

    Open assignments of others count until their time is out; votes of raters that the rule excludes don't count.
    """
    counts: Counter[str] = Counter(
        dict(
            connection.execute(
                "SELECT pair, COUNT(*) FROM assignments JOIN raters ON raters.id = rater WHERE kind = 'pair' "
                "AND excluded = 0 AND rater != ? AND (voted_at IS NOT NULL OR expires_at > ?) GROUP BY pair",
                (rater.id, now),
            )
        )
    )
    mine = {
        pair
        for (pair,) in connection.execute(
            "SELECT pair FROM assignments WHERE rater = ? AND kind = 'pair' AND voted_at IS NOT NULL",
            (rater.id,),
        )
    }
    order = random.Random(rater.id)  # each rater has an order of their own among equals
    places = {pair.id: order.random() for pair in study.pairs}
    needy = [p for p in places if p not in mine and counts[p] < study.config.raters_per_pair]
    return sorted(needy, key=lambda pair: (counts[pair], places[pair]))


def _num_left(connection: sqlite3.Connection, study: Study, rater: Rater, done: int) -> int:
    needy = _needy(connection, study, rater, time.time())
    return max(0, min(study.config.pairs_per_rater - done, len(needy)))


def _done(connection: sqlite3.Connection, rater: Rater) -> Counter[str]:
    return Counter(
        dict(
            connection.execute(
                "SELECT kind, COUNT(*) FROM assignments WHERE rater = ? AND voted_at IS NOT NULL GROUP BY kind",
                (rater.id,),
            )
        )
    )


def _unseen_check(
    connection: sqlite3.Connection, study: Study, rater: Rater, rng: random.Random
) -> str | None:
    seen = {
        pair
        for (pair,) in connection.execute(
            "SELECT pair FROM assignments WHERE rater = ? AND kind = 'check'", (rater.id,)
        )
    }
    left = [check.id for check in study.checks if check.id not in seen]
    return rng.choice(left) if left else None


def _repeat(
    connection: sqlite3.Connection, rater: Rater, rng: random.Random, between: int
) -> tuple[str, bool] | None:
    """Return a pair that lies some way back and was not repeated yet, with the side that it had."""
    voted = connection.execute(
        "SELECT pair, first_is_left, kind FROM assignments WHERE rater = ? AND voted_at IS NOT NULL "
        "AND kind IN ('pair', 'repeat') ORDER BY voted_at",
        (rater.id,),
    ).fetchall()
    repeated = {pair for pair, _, kind in voted if kind == "repeat"}
    firsts = [(pair, bool(left)) for pair, left, kind in voted if kind == "pair"]
    left = [one for one in firsts[: max(0, len(firsts) - between)] if one[0] not in repeated]
    return rng.choice(left) if left else None
