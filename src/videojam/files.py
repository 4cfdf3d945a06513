"""Writing a folder or a file so that it appears under its name only when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from videojam.errors import VideoJamError

ELSEWHERE = "Free space or choose another place; nothing was left behind."


@contextmanager
def written_whole(out: Path, fix: str = ELSEWHERE) -> Iterator[Path]:
    """Yield a temporary folder's name beside `out`; it takes the place of `out` when the block ends well.

    Args:
        out: Folder to write; an older one of that name is replaced.
        fix: What to tell the user to do when writing fails.

    Raises:
        VideoJamError: no room or permission; what was there before still is.
    """
    temporary = out.with_name(f".{out.name}.tmp-{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if out.exists():
            shutil.rmtree(out)
        os.replace(temporary, out)
    except OSError as error:
        raise refused(out, error, fix) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str, fix: str = ELSEWHERE) -> Path:
    """Write a text file whole or not at all, and its folder where there is none.

    Args:
        path: File to write; an older one of that name is replaced.
        text: Its content.
        fix: What to tell the user to do when writing fails.

    Raises:
        VideoJamError: no room or permission; what was there before still is.
    """
    return write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), fix)


def write_file(path: Path, write: Callable[[Path], object], fix: str = ELSEWHERE) -> Path:
    """Write any file whole or not at all, and its folder where there is none.

    Args:
        path: File to write; an older one of that name is replaced.
        write: Called with the temporary file to write.
        fix: What to tell the user to do when writing fails.

    Raises:
        VideoJamError: no room or permission; what was there before still is.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with renamed(path) as unfinished:
            write(unfinished)
    except OSError as error:
        raise refused(path, error, fix) from error
    return path


@contextmanager
def renamed(path: Path) -> Iterator[Path]:
    """Yield a temporary file's name beside `path`; it takes the place of `path` when the block ends well."""
    unfinished = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        with suppress(OSError):
            unfinished.unlink()


def refused(path: Path, error: OSError, fix: str) -> VideoJamError:
    """Return the error of a place that can't be written to."""
    return VideoJamError(
        expected="room and permission to write",
        found=error.strerror or str(error),
        where=str(path),
        fix=fix,
    )
