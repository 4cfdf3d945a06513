"""Raters, assignments and votes in SQLite: each answer is on the disk before it is acknowledged."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from videojam.errors import VideoJamError
from videojam.files import refused, renamed
from videojam.study.config import FORMAT, Study

DATABASE_FILE = "votes.sqlite"
PERMIT = (
    "Change the permissions of the folder and its files: SQLite writes beside a database that it reads, too."
)
SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE raters (
    id INTEGER PRIMARY KEY,
    token_sha256 TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    platform TEXT NOT NULL,         -- link, open, prolific, mturk or import
    crowd_id TEXT,
    crowd_session TEXT,
    code TEXT NOT NULL,
    made_at REAL NOT NULL,
    consented_at REAL,
    deleted_at REAL,
    excluded INTEGER NOT NULL DEFAULT 0,  -- by the study's rule, as far as the answers go
    UNIQUE (platform, crowd_id)
) STRICT;
CREATE TABLE assignments (
    id TEXT PRIMARY KEY,
    rater INTEGER NOT NULL REFERENCES raters (id),
    pair TEXT NOT NULL,
    kind TEXT NOT NULL,             -- practice, check, pair or repeat
    first_is_left INTEGER NOT NULL,
    given_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    voted_at REAL,
    UNIQUE (rater, pair, kind)
) STRICT;
CREATE INDEX by_pair ON assignments (pair, kind);
CREATE TABLE answers (
    assignment TEXT NOT NULL REFERENCES assignments (id),
    question TEXT NOT NULL,
    first_won INTEGER NOT NULL,
    PRIMARY KEY (assignment, question)
) STRICT;
"""


class Database:
    """The database of one study, for several threads of one process; writes are one transaction each."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    @classmethod
    def create(cls, folder: Path, study: Study) -> Database:
        """Make an empty database for a study."""
        connection = _connect(folder / DATABASE_FILE, "rwc")
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT INTO about VALUES (?, ?)", [("format", str(FORMAT)), ("study", study.id)]
        )
        return cls(connection)

    @classmethod
    def open(cls, folder: Path, study: Study, *, read_only: bool = False) -> Database:
        """Open the database of a study.

        Raises:
            VideoJamError: no database, one of another study or version, one that is damaged, or no permission.
        """
        path = folder / DATABASE_FILE
        if not path.is_file():
            raise _unfit(path, study, "no such file")
        try:
            connection = _connect(path, "ro" if read_only else "rw")
            about = dict(connection.execute("SELECT key, value FROM about").fetchall())
        except sqlite3.Error as error:
            if "readonly" in str(error):
                raise refused(path, PermissionError(str(error)), PERMIT) from None
            raise _unfit(path, study, str(error)) from None
        if about.get("format") != str(FORMAT):
            raise _unfit(path, study, f"format {about.get('format')}")
        if about.get("study") != study.id:
            raise _unfit(path, study, f"the votes of study {about.get('study')}")
        return cls(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in a transaction; it is on the disk when the block ends, or nothing of it is."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in a transaction that sees one state of the votes."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")

    def forget(self) -> None:
        """Write over what was deleted, also in the log of the database."""
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the connection; the log is folded into the file."""
        with self._lock, suppress(sqlite3.Error):
            self._connection.close()


def backup(folder: Path, study: Study, target: Path) -> Path:
    """Copy the votes while the server runs; the copy is one state of them, and appears whole.

    Raises:
        VideoJamError: no votes of this study, a file that exists, or no room.
    """
    if target.exists():
        raise VideoJamError(
            expected="the name of a file that doesn't exist yet",
            found="it exists",
            where=str(target),
            fix="Choose another name; nothing that exists is overwritten.",
        )
    Database.open(folder, study, read_only=True).close()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            renamed(target) as unfinished,
            closing(_connect(folder / DATABASE_FILE, "ro")) as source,
            closing(sqlite3.connect(unfinished)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except (sqlite3.Error, OSError) as error:
        raise VideoJamError(
            expected="room and permission to write the copy",
            found=str(error),
            where=str(target),
            fix="Free space or choose another place; the votes themselves are untouched.",
        ) from None
    return target


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=30,
    )
    if mode != "ro":
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # an acknowledged vote outlives a power cut too
        connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _unfit(path: Path, study: Study, found: str) -> VideoJamError:
    return VideoJamError(
        expected=f"the votes of study {study.id}, format {FORMAT}",
        found=found,
        where=str(path),
        fix="Put the database of this study back, or make a new study with `videojam study new`.",
    )
