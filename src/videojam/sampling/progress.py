"""The steps of a stock pipeline, reported to a listener in place of its own progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from videojam.families.stock import Pipeline

OnStep = Callable[[int, int], None]
"""Listener of (steps done, all steps)."""


class _Steps:
    """Stands in for the progress bar that a pipeline updates once a step."""

    def __init__(self, total: int, on_step: OnStep | None) -> None:
        self._done, self._total, self._on_step = 0, total, on_step

    def __enter__(self) -> _Steps:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def update(self, num: int = 1) -> None:
        """Count steps."""
        self._done += num
        if self._on_step is not None:
            self._on_step(self._done, self._total)


@contextmanager
def steps_shown(pipe: Pipeline, on_step: OnStep | None) -> Iterator[None]:
    """Report a pipeline's steps to a listener, or to nobody, for the time of a `with` block."""

    def progress_bar(iterable: Any = None, total: int | None = None) -> Any:
        return iterable if iterable is not None else _Steps(total or 0, on_step)

    pipe.progress_bar = progress_bar
    try:
        yield
    finally:
        del pipe.progress_bar
