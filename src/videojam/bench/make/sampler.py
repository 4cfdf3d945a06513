"""What a sampler is: items in, clips out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from videojam.bench.folder import Item


@dataclass(frozen=True)
class Made:
    """One clip.

    Attributes:
        video: uint8 `[T, 3, H, W]`.
        motion: The predicted motion drawn as RGB, as the video; none for a model that predicts none.
    """

    video: Tensor
    motion: Tensor | None = None


@runtime_checkable
class Sampler(Protocol):
    """Makes clips of one arm, a batch at a time.

    Attributes:
        fps: Frame rate of the clips.
        noise: Words that are the same for samplers that draw the same noise from the same seed.
        facts: For the manifest; complete once a batch is made.
    """

    fps: float
    noise: str
    facts: dict[str, Any]

    def make(self, items: Sequence[Item]) -> list[Made]:
        """Make the clips of some items in one batch."""
        ...
