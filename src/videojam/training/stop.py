"""Ctrl-C, SIGTERM, SIGUSR1 and the end of the time: the step at hand is finished and saved, then the process stops."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""A cluster sends SIGUSR1 some time before it ends a job, if asked: Slurm's `--signal=USR1@300`."""


class TimeIsUp(KeyboardInterrupt):
    """The time of a run is over (`max_minutes`, or SIGUSR1 of a cluster); what was done is saved."""


@contextmanager
def usr1_stops() -> Iterator[None]:
    """Let SIGUSR1 stop the process while there is no step to finish; without it, the signal would kill the process."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGUSR1, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


class StopRequest:
    """Holds back Ctrl-C and SIGTERM inside its block, where `asked` says that one came; a second Ctrl-C stops at once.

    When the block ends, a signal that was held back has the effect that it would have had without the block. A
    SIGTERM that follows is no second wish: torchrun sends one after Ctrl-C.

    Args:
        max_minutes: How long the process may run; None is without end.
        began: When it began, by `time.monotonic`.
    """

    def __init__(self, max_minutes: float | None = None, began: float = 0.0) -> None:
        self.deadline = None if max_minutes is None else began + 60 * max_minutes
        self.time_is_up = False
        self.number: int | None = None
        self.before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self.number is not None

    def is_time_over(self, needed_s: float) -> bool:
        """Whether a cluster said that the time is over, or it will be before what is still needed is done.

        Args:
            needed_s: Seconds that the next step and a checkpoint take.
        """
        is_late = self.deadline is not None and time.monotonic() + needed_s >= self.deadline
        return self.time_is_up or is_late

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # only there can signals be handled
            self.before = {number: signal.signal(number, self._hold) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if kind is None and self.number is not None:
            signal.raise_signal(self.number)

    def _restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self.time_is_up = True
        elif self.number is None:
            self.number = number
            with suppress(OSError):  # not print, which may be what the signal interrupted
                os.write(
                    2, b"\nStopping: this step is finished and saved first. Ctrl-C again stops at once.\n"
                )
        elif number == signal.SIGINT:
            self._restore()
            signal.raise_signal(number)
