"""The files of the page: clips in a temporary folder of the process, known only by their random names."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.locks import locked
from videojam.motion.as_mp4 import write_even
from videojam.motion.video import Clip

PREFIX = "videojam-app-"
LOCK = "app"


class Clips:
    """Clips on the disk by their random names; the page can ask for these and for nothing else.

    Args:
        folder: Where they are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: set[str] = set()

    def add(self, frames: UInt8[Tensor, "t 3 h w"], fps: float) -> str:
        """Write a clip and return its name."""
        name = f"{secrets.token_hex(16)}.mp4"
        write_even(self.folder / name, Clip(frames, fps))
        self._names.add(name)
        return name

    def find(self, name: str) -> Path | None:
        """Return the file of a name that was given out; None for anything else."""
        return self.folder / name if name in self._names else None

    def remove(self, names: Iterable[str]) -> None:
        """Delete clips."""
        for name in set(names) & self._names:
            self._names.discard(name)
            (self.folder / name).unlink(missing_ok=True)


@contextmanager
def temporary_clips() -> Iterator[Clips]:
    """Yield an empty place for clips that is gone when the block ends, and clear those of killed processes."""
    clear_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # only its owner can read it
    try:
        with locked(folder, LOCK):
            yield Clips(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned(where: Path) -> None:
    """Remove the folders of apps that were killed; one that is in use, or of somebody else, stays."""
    for folder in where.glob(f"{PREFIX}*"):
        with suppress(VideoJamError, OSError):
            if not (folder / f".videojam-{LOCK}.lock").exists():
                continue  # just made by another process
            with locked(folder, LOCK):
                shutil.rmtree(folder, ignore_errors=True)
