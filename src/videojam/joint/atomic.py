"""Writing a folder so that it appears under its name only when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from videojam.errors import VideoJamError


@contextmanager
def written_whole(
    out: Path, fix: str = "Free space or choose another place; nothing was left behind."
) -> Iterator[Path]:
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
        raise VideoJamError(
            expected="room and permission to write",
            found=error.strerror or str(error),
            where=str(out),
            fix=fix,
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
