"""Clips whose own frame rate does not give the rate that is asked for in even steps."""

from __future__ import annotations

from videojam.data.config import FolderSource, Source

MAX_NAMED = 10


def is_even(own_fps: float, fps: float, num_frames: int) -> bool:
    """Whether a clip at `fps` consists of every frame of its file, or every second one, and so on.

    Else frames are repeated, with no motion from one to the next, or the steps between them differ. A rate that is
    off by so little that no frame of the clip changes (29.97 for 30) is even.

    Args:
        own_fps: Rate of the file.
        fps: Rate that is asked for.
        num_frames: Frames of the clip.
    """
    step = own_fps / fps
    return abs(step - max(1, round(step))) * (num_frames - 1) < 0.5


def rate_notes(rates: dict[str, float | None], source: Source) -> list[str]:
    """Name the clips of another frame rate, and say what was done with them.

    Args:
        rates: The own rate of each clip by its name; None where it has none.
        source: Where the clips come from.
    """
    if not isinstance(source, FolderSource):
        return []
    uneven = {
        name: rate
        for name, rate in rates.items()
        if rate is not None and not is_even(rate, source.fps, source.num_frames)
    }
    if not uneven:
        return []
    named = ", ".join(f"{name} ({rate:g} fps)" for name, rate in list(uneven.items())[:MAX_NAMED])
    more = f" and {len(uneven) - MAX_NAMED} more" if len(uneven) > MAX_NAMED else ""
    if source.uneven_rate == "native":
        what = f"were taken at their own frame rate, not at {source.fps:g} fps"
    else:
        what = (
            f"do not give {source.fps:g} fps in even steps: frames are repeated or steps differ, and so does the flow "
            "(data.source.uneven_rate=native or refuse, or another fps, changes that)"
        )
    return [f"{len(uneven)} of {len(rates)} clips {what}: {named}{more}"]
