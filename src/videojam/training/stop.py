"""Ctrl-C and SIGTERM while steps run: the step at hand is finished and saved, then the process stops."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Holds back Ctrl-C and SIGTERM inside its block, where `asked` says that one came; a second Ctrl-C stops at once.

    When the block ends, a signal that was held back has the effect that it would have had without the block. A
    SIGTERM that follows is no second wish: torchrun sends one after Ctrl-C.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self.number is not None

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
        if self.number is None:
            self.number = number
            with suppress(OSError):  # not print, which may be what the signal interrupted
                os.write(
                    2, b"\nStopping: this step is finished and saved first. Ctrl-C again stops at once.\n"
                )
        elif number == signal.SIGINT:
            self._restore()
            signal.raise_signal(number)
