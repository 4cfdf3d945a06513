"""Running out of memory: how it is recognised, and an error that says what was asked, what is free, what to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from videojam.errors import VideoJamError


class NotEnoughMemoryError(VideoJamError):
    """Memory is not enough for what was asked; it says nothing of a single clip, so a bench stops at it."""


@contextmanager
def memory_explained(asked: str, fix: str) -> Iterator[None]:
    """Turn running out of memory into an error that says what was asked, what is free, and what to lower.

    Args:
        asked: What was asked, as "2 clips of 49 frames of 480×720 px together".
        fix: What to do, as a sentence: "Lower --batch-size, --frames, --height or --width, or use --offload."

    Raises:
        NotEnoughMemoryError: the block ran out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        words = (str(error).strip().splitlines() or ["out of memory"])[0]
        raise NotEnoughMemoryError(
            expected=f"memory for {asked}",
            found=f"{free_memory()} ({words[:200]})",
            where="memory of the device",
            fix=fix,
        ) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the CPU's or a device's memory is not enough."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    signs = (
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "Storage size calculation overflowed",
    )
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def free_memory() -> str:
    """Write how much memory is free, of the GPU if one is in use, and of the machine."""
    import os

    import torch

    free = [f"{os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB free"]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        here, total = torch.cuda.mem_get_info()
        free.insert(0, f"{here / 2**30:.1f} of {total / 2**30:.1f} GiB free on the GPU")
    return ", ".join(free) + (" in the machine" if len(free) > 1 else "")
