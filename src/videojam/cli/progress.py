"""Progress of everything that takes more than a moment: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 10.0

_Bars = TypeVar("_Bars", bound="Bars")


class Bars:
    """Bars on stderr while a `with` block runs; none where it is no terminal.

    Args:
        columns: Shown behind what is done, the bar, the count and the time that is left.
        console: Where to show them; stderr if not given.
    """

    def __init__(self, *columns: ProgressColumn, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            *columns,
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self: _Bars) -> _Bars:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()


class ProgressDisplay(Bars):
    """A callable of (done, total) that shows one task on stderr, with the time that is left.

    Use as `with ProgressDisplay("generating") as progress: work(progress=progress)`.

    Args:
        what: What is done, as "generating".
        unit: What is counted, as "clips"; for the lines of a log.
        console: Where to show it; stderr if not given.
    """

    def __init__(self, what: str, unit: str = "", console: Console | None = None) -> None:
        super().__init__(console=console)
        self.what, self.unit = what, unit
        self.task = self.bars.add_task(what, total=None)
        self.started = self.last_line = time.monotonic()
        self.first_done: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        self.bars.update(self.task, completed=done, total=total)
        if self.first_done is None:  # what was there before this run says nothing of its speed
            self.first_done = done if done > 1 else 0
        now = time.monotonic()
        if self.console.is_terminal or (now - self.last_line < SECONDS_BETWEEN_LINES and done < total):
            return
        self.last_line = now
        print(self.line(done, total, now - self.started), file=self.console.file, flush=True)

    def line(self, done: int, total: int, seconds: float) -> str:
        """Write one line of a log, for instance `generating: 12 of 64 clips, 3 min 20 s left`."""
        text = f"{self.what}: {done} of {total} {self.unit}".rstrip()
        here = done - (self.first_done or 0)
        if done >= total:
            return f"{text}, {duration(seconds)}"
        return f"{text}, {duration(seconds / here * (total - done))} left" if here > 0 else text


def duration(seconds: float) -> str:
    """Write a duration in its two largest units, as `3 min 20 s`."""
    whole = round(seconds)
    parts = ((whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    said = [f"{number} {unit}" for number, unit in parts]
    first = next((i for i, (number, _) in enumerate(parts) if number), 3)
    return " ".join(said[first : first + 2])
