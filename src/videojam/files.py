"""Writing a folder or a file so that it appears under its name only when it is whole."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from videojam.errors import CannotWriteError, VideoJamError
from videojam.misfits import reason

if TYPE_CHECKING:
    from torch import Tensor

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What a place says that is full or can only be read."""
ELSEWHERE = "Free space, change permissions, or choose another place; nothing was left behind."


def require_new(out: Path) -> None:
    """Refuse a folder to write that exists already.

    Raises:
        VideoJamError: `out` exists.
    """
    if os.path.lexists(out):
        raise VideoJamError(
            expected="a name that doesn't exist yet",
            found="it exists" if out.is_dir() else "a file of that name",
            where=str(out),
            fix="Choose another name; nothing that exists is overwritten.",
        )


def require_replaceable(out: Path, record: str | None) -> None:
    """Refuse a folder that `written_whole` would not replace, so that a long run is refused at its start.

    Args:
        out: Folder that will be written.
        record: File in it by which a folder that an earlier run wrote is known; None: no folder is replaced.

    Raises:
        VideoJamError: `out` is a file, or a folder that holds files but no such record.
    """
    if record is None:
        require_new(out)
    elif out.is_dir():
        if any(out.iterdir()) and not (out / record).is_file():
            raise VideoJamError(
                expected=f"no folder, or one that videojam wrote, with {record} in it",
                found="a folder with other files, which would be lost",
                where=str(out),
                fix="Choose another output folder, or move this one away.",
            )
    else:
        require_new(out)


@contextmanager
def written_whole(
    out: Path, fix: str = ELSEWHERE, *, replaces: str | None = None, file: str | None = None
) -> Iterator[Path]:
    """Yield a temporary folder's name beside `out`; it takes the place of `out` when the block ends well.

    The older folder is renamed, not removed, until the new one stands, and is put back if that fails. The
    mode of all files follows the umask, also of files that a library wrote or copied.

    Args:
        out: Folder to write.
        fix: What the user is asked to do when writing fails.
        replaces: File by which an older folder that may be replaced is known; None: no folder is replaced.
        file: Name of a file in the temporary folder that takes the place of `out` by itself; None: the whole folder.

    Raises:
        VideoJamError: a folder that may not be replaced, no room or no permission; what was there before
            still is.
    """
    require_replaceable(out, replaces)
    target = Path(os.path.realpath(out))  # a link to a folder elsewhere stays a link
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    made = missing(target.parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _follow_umask(temporary)
        require_replaceable(out, replaces)  # another process may have written it meanwhile
        _put_in_place(temporary / file if file else temporary, target)
    except OSError as error:
        raise refused(out, error, fix) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        remove_empty(made)


def _put_in_place(new: Path, target: Path) -> None:
    """Rename `new` to `target`; an older folder is removed last, and comes back if the renaming fails."""
    if not target.exists():
        os.replace(new, target)
        return
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    os.replace(target, old)
    try:
        os.replace(new, target)
    except BaseException:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str, fix: str = ELSEWHERE) -> Path:
    """Write a text file whole or not at all, and its folder where there is none.

    Args:
        path: File to write; an older one of that name is replaced.
        text: Its content.
        fix: What the user is asked to do when writing fails.

    Raises:
        VideoJamError: no room or permission; what was there before still is.
    """
    return write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), fix)


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None, fix: str = ELSEWHERE
) -> Path:
    """Write a safetensors file whole or not at all, readable for whom the umask says.

    Args:
        path: File to write; an older one of that name is replaced.
        tensors: Contiguous tensors by name.
        metadata: Words for the file's header.
        fix: What the user is asked to do when writing fails.

    Raises:
        VideoJamError: no room or permission; what was there before still is.
    """
    return write_file(path, lambda unfinished: save_tensors(tensors, unfinished, metadata), fix)


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Save a safetensors file in place, as a part of a folder that appears whole.

    Args:
        tensors: Contiguous tensors by name.
        path: File to write.
        metadata: Words for the file's header.

    Raises:
        OSError: no room or permission.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:  # a full disk, in the library's own words
        found = re.search(r"I/O error: (.*) \(os error", str(error))
        raise OSError(found[1] if found else str(error)) from error


def write_file(path: Path, write: Callable[[Path], object], fix: str = ELSEWHERE) -> Path:
    """Write any file whole or not at all, and its folder where there is none.

    Args:
        path: File to write; an older one of that name is replaced.
        write: Called with the temporary file to write.
        fix: What the user is asked to do when writing fails.

    Raises:
        VideoJamError: no room or permission; what was there before still is.
    """
    made = missing(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with renamed(path) as unfinished:
            write(unfinished)
    except OSError as error:
        raise refused(path, error, fix) from error
    finally:
        remove_empty(made)
    return path


@contextmanager
def renamed(path: Path) -> Iterator[Path]:
    """Yield a temporary file's name beside `path`; it takes the place of `path` when the block ends well."""
    unfinished = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        yield unfinished
        unfinished.chmod(0o666 & ~_umask())  # safetensors makes its files private
        os.replace(unfinished, path)
    finally:
        with suppress(OSError):
            unfinished.unlink()


def refused(path: Path, error: OSError, fix: str) -> CannotWriteError:
    """Return the error of a place that can't be written to."""
    found = reason(error)
    if isinstance(error, FileNotFoundError):
        found = "no such folder"
    if isinstance(error, FileExistsError):
        found = "a file in the place of a folder"
    if isinstance(error, shutil.Error):  # of a folder's copy: (from, to, why) of each file
        first = str(error.args[0][0][2]) if error.args and error.args[0] else found
        found = re.sub(r"^\[Errno \d+\] ([^:]*):.*", r"\1", first)
    return CannotWriteError(
        expected="room and permission to write",
        found=found,
        where=str(path),
        fix=fix,
    )


def remove_empty(folders: list[Path]) -> None:
    """Remove folders that hold nothing, from the last on; the first that holds something ends it."""
    with suppress(OSError):
        for folder in reversed(folders):
            folder.rmdir()


def missing(folder: Path) -> list[Path]:
    """Return a folder and those above it that don't exist yet, from the top down."""
    return [parent for parent in reversed((folder, *folder.parents)) if not parent.exists()]


def _follow_umask(folder: Path) -> None:
    """Give all files below a folder the mode of newly made ones: copies keep that of what they were copied from."""
    umask = _umask()
    for directory, _, names in os.walk(folder):
        os.chmod(directory, 0o777 & ~umask)
        for name in names:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o666 & ~umask)


def _umask() -> int:
    umask = os.umask(0o077)  # it can only be read by setting it
    os.umask(umask)
    return umask
