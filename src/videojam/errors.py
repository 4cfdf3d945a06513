"""The one exception that the command line shows without a traceback."""

from __future__ import annotations


class VideoJamError(Exception):
    """A user's mistake or a failed precondition, reported so that the user can act on it.

    Args:
        expected: What the code needs, in one clause.
        found: What it met instead.
        where: File, clip, key or step.
        fix: What to do about it.
    """

    def __init__(self, *, expected: str, found: str, where: str, fix: str) -> None:
        self.expected, self.found, self.where, self.fix = expected, found, where, fix
        super().__init__(f"{where}: expected {expected}, found {found}. {fix}")

    def __reduce__(self) -> tuple[object, ...]:
        """Let an error travel from a worker process to the one that reports it."""
        return _rebuilt, (type(self), self.expected, self.found, self.where, self.fix)


class CannotWriteError(VideoJamError):
    """A place can't be written to, as a full disk; it says nothing of the clip that was to be written there."""


def _rebuilt(kind: type[VideoJamError], expected: str, found: str, where: str, fix: str) -> VideoJamError:
    return kind(expected=expected, found=found, where=where, fix=fix)
