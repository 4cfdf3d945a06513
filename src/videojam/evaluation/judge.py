"""What a judge of clips is: pixels, frame rate and prompt in, named numbers out."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor


@runtime_checkable
class Judge(Protocol):
    """Scores one clip at a time; every judge of a bench gets the same decoded clip.

    A measure that can't be taken is NaN, and a clip that can't be judged at all raises `VideoJamError`: both are
    recorded for that clip as a problem, and neither is in any mean.

    Attributes:
        name: Short and stable; part of the key under which its scores are kept, so a judge whose arithmetic or
            weights change takes another name.
        measures: Names of the numbers that `score` returns, in the order in which they are shown.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def measures(self) -> tuple[str, ...]:
        """See above."""
        ...

    def score(self, video: UInt8[Tensor, "t 3 h w"], fps: float, prompt: str) -> dict[str, float]:
        """Return one number for each of `measures`.

        Args:
            video: Pixels, uint8.
            fps: Frames in a second.
            prompt: What the clip was asked to show.

        Raises:
            VideoJamError: the clip can't be judged.
        """
        ...


def missing(scores: dict[str, float], judge: Judge) -> list[str]:
    """Return the measures of a judge that a clip lacks: not there, NaN or infinite."""
    return [name for name in judge.measures if not math.isfinite(scores.get(name, math.nan))]
