"""A lock on an output folder, so that two runs never write into one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from videojam.errors import VideoJamError
from videojam.files import ELSEWHERE, missing, refused, remove_empty

UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def locked(folder: Path, what: str = "run") -> Iterator[None]:
    """Hold a folder for one process; another is refused with the host and process id of the first.

    The lock is `folder/.videojam-WHAT.lock`, locked with `flock`, which ends with its process, so that what a
    killed run left behind on this host is taken over. A file that another host left is refused and explained:
    not every shared file system carries the lock from host to host. The folder is made where there is none,
    and removed again if nothing was written into it.

    Args:
        folder: Output folder.
        what: What is locked, where several processes share a folder: one lock for each name.

    Raises:
        VideoJamError: another process holds it or may hold it, or the folder can't be written to.
    """
    made: list[Path] = []
    path = folder / f".videojam-{what}.lock"
    try:
        try:
            made = missing(folder)  # raises for a name that is too long
            folder.mkdir(parents=True, exist_ok=True)
            stream = _acquire(path)
        except OSError as error:
            raise refused(folder, error, ELSEWHERE) from error
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
            os.close(stream)
    finally:
        remove_empty(made)


def refuse_if_held(folder: Path, what: str) -> None:
    """Refuse a folder while another process holds a lock on it, without taking that lock.

    Args:
        folder: Output folder.
        what: Name of the lock; a pattern with `*` stands for every lock that fits it.

    Raises:
        VideoJamError: another process holds one or may hold it.
    """
    for path in sorted(folder.glob(f".videojam-{what}.lock")):
        try:
            stream = os.open(path, os.O_RDWR)
        except FileNotFoundError:  # its holder has just ended
            continue
        try:
            _refuse_other(path, stream, _flock(stream, fcntl.LOCK_SH))
        finally:
            os.close(stream)


def _acquire(path: Path) -> int:
    """Return the open lock file, locked and with this process's name in it."""
    while True:
        stream = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _refuse_other(path, stream, _flock(stream))
            if _is_same_file(stream, path):  # else its last holder has removed it since it was opened
                own = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
                os.ftruncate(stream, 0)
                os.pwrite(stream, json.dumps(own).encode(), 0)
                return stream
        except BaseException:
            os.close(stream)
            raise
        os.close(stream)


def _refuse_other(path: Path, stream: int, granted: bool | None) -> None:
    """Refuse a lock file that another process holds, or may hold where the file system has no locks."""
    holder = _holder(stream)
    if granted is False or (holder and not _is_gone(holder, granted)):
        raise _held(path, holder, certain=granted is False)


def _flock(stream: int, kind: int = fcntl.LOCK_EX) -> bool | None:
    """Return whether the lock was granted; None on a file system that has no such locks."""
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return None
    return True


def _holder(stream: int) -> dict[str, Any]:
    """Read who wrote the file; empty if nobody did, or not to the end."""
    try:
        content = json.loads(os.pread(stream, 4096, 0))
        return content if isinstance(content, dict) else {}
    except ValueError:
        return {}


def _is_gone(holder: dict[str, Any], granted: bool | None) -> bool:
    """Whether the process of this host that wrote a lock has ended: `flock` was granted, or no such process."""
    if holder.get("host") != socket.gethostname():
        return False
    if granted:
        return True
    try:
        os.kill(int(holder.get("pid", 0)), 0)
    except (ProcessLookupError, ValueError):
        return True
    except OSError:
        pass
    return False


def _is_same_file(stream: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream), path.stat())
    except FileNotFoundError:
        return False


def _held(path: Path, holder: dict[str, Any], *, certain: bool) -> VideoJamError:
    who = f"process {holder.get('pid', 'unknown')} on host {holder.get('host', 'unknown')}"
    if isinstance(holder.get("since"), (int, float)):
        who += f", since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(holder['since']))}"
    if certain:
        fix = "Wait for it, stop it, or choose another output folder."
    else:
        fix = (
            f"If that process no longer runs, remove {path.name} and start again; else choose another folder."
        )
    return VideoJamError(
        expected="an output folder that no other run writes to",
        found=f"a run by {who}" if certain else f"the lock of a run by {who}, which can't be seen from here",
        where=str(path.parent),
        fix=fix,
    )
