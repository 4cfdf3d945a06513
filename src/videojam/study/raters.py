"""Raters: who may vote, by a secret token; what they consented to; and how they leave again."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from dataclasses import dataclass
from urllib.parse import quote

from videojam.study.config import Study
from videojam.study.refusal import RefusedError

PLATFORMS = {
    "prolific": ("PROLIFIC_PID", "SESSION_ID"),
    "mturk": ("workerId", "assignmentId"),
}
"""Which parameters of the link name the rater and the one time that they take part."""
MTURK_PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"
MAX_ID = 128


@dataclass(frozen=True)
class Rater:
    """A rater.

    Attributes:
        id: In the database.
        code: To be shown at the end.
        consented: Whether they agreed to take part.
    """

    id: int
    code: str
    consented: bool


def invite(connection: sqlite3.Connection, label: str, platform: str = "link") -> str:
    """Add a rater and return the token of their link; the database holds only its hash."""
    token = secrets.token_urlsafe(24)
    connection.execute(
        "INSERT INTO raters (token_sha256, label, platform, code, made_at) VALUES (?, ?, ?, ?, ?)",
        (_hash(token), label, platform, _code(), time.time()),
    )
    return token


def join(connection: sqlite3.Connection, query: dict[str, str]) -> str:
    """Add a rater of an open study, or return to one of a crowd, and return a token.

    Someone of a crowd is known again by their id together with the id of this one session, which nobody else knows.

    Args:
        connection: In a transaction.
        query: Parameters of the link.

    Raises:
        RefusedError: a preview, ids that are too long, or somebody who took part already.
    """
    for platform, (person, session) in PLATFORMS.items():
        if query.get(person) and query.get(session):
            return _join_from(connection, platform, query[person], query[session])
    number = connection.execute("SELECT COUNT(*) FROM raters").fetchone()[0] + 1
    return invite(connection, f"rater {number}", "open")


def rater_of(connection: sqlite3.Connection, token: str) -> Rater:
    """Return the rater of a token.

    Raises:
        RefusedError: no such token, or one whose data was deleted.
    """
    found = connection.execute(
        "SELECT id, code, consented_at, deleted_at FROM raters WHERE token_sha256 = ?", (_hash(token),)
    ).fetchone()
    if found is None:
        raise RefusedError(401, "This link is not valid. Ask for a new one.")
    if found[3] is not None:
        raise RefusedError(410, "Your data was deleted; this link is closed.")
    return Rater(found[0], found[1], found[2] is not None)


def consent(connection: sqlite3.Connection, rater: Rater) -> None:
    """Write down that a rater agreed."""
    connection.execute(
        "UPDATE raters SET consented_at = COALESCE(consented_at, ?) WHERE id = ?", (time.time(), rater.id)
    )


def delete(connection: sqlite3.Connection, rater: Rater) -> None:
    """Remove all that a rater gave; their link stays closed."""
    mine = "SELECT id FROM assignments WHERE rater = ?"
    connection.execute(f"DELETE FROM answers WHERE assignment IN ({mine})", (rater.id,))
    connection.execute("DELETE FROM assignments WHERE rater = ?", (rater.id,))
    connection.execute(
        "UPDATE raters SET crowd_id = NULL, crowd_session = NULL, label = 'deleted', code = '', excluded = 0, "
        "made_at = 0, consented_at = NULL, deleted_at = ? WHERE id = ?",
        (time.time(), rater.id),
    )


def completion(study: Study, rater: Rater) -> tuple[str, str]:
    """Return the code that a rater is shown at the end, and the link; empty if there is none."""
    code = study.config.completion_code or rater.code
    return code, study.config.completion_url.replace("{code}", quote(code, safe=""))


def _join_from(connection: sqlite3.Connection, platform: str, person: str, session: str) -> str:
    if session == MTURK_PREVIEW:
        raise RefusedError(403, "This is a preview. Accept the task to begin.")
    if max(len(person), len(session)) > MAX_ID:
        raise RefusedError(400, "The ids in this link are too long.")
    found = connection.execute(
        "SELECT id, crowd_session FROM raters WHERE platform = ? AND crowd_id = ?", (platform, person)
    ).fetchone()
    if found is None:
        token = invite(connection, f"{platform} {person}", platform)
        connection.execute(
            "UPDATE raters SET crowd_id = ?, crowd_session = ? WHERE token_sha256 = ?",
            (person, session, _hash(token)),
        )
        return token
    if found[1] != session:
        raise RefusedError(403, "You took part in this study already.")
    token = secrets.token_urlsafe(24)
    connection.execute("UPDATE raters SET token_sha256 = ? WHERE id = ?", (_hash(token), found[0]))
    return token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _code() -> str:
    return secrets.token_hex(4).upper()
