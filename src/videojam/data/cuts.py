"""Scene cuts by a plain rule: neighbouring frames whose colour histograms have little in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from videojam.motion.container import VideoPlace, open_video
from videojam.motion.decode import decode_frames
from videojam.motion.upright import to_rgb

BINS = 4
"""Of each colour channel: 64 in all, coarse enough that motion and noise hardly change a histogram."""
STRIDE_PX = 4
"""Every fourth pixel of every fourth row is looked at."""
THRESHOLD = 0.5
"""Share of the pixels that have to change their bin."""
SHORTEST_S = 0.1
"""Two cuts that are nearer than this are a flash, not two scenes."""


Rule = Literal["histogram", "transnetv2"]


@dataclass(frozen=True)
class CutRule:
    """How scene cuts are found.

    Attributes:
        name: The plain rule of this file, or TransNetV2.
        threshold: Smallest `change` of a cut by the plain rule, 0..1.
    """

    name: Rule = "histogram"
    threshold: float = THRESHOLD

    def require(self) -> None:
        """Refuse a rule whose package is missing, before any file is read.

        Raises:
            VideoJamError: how to install it.
        """
        if self.name == "transnetv2":
            from videojam.data.transnet import network

            network()

    def find(self, place: VideoPlace) -> list[float]:
        """Return the times in s, after the first frame, at which new scenes begin.

        Raises:
            VideoJamError: the file can't be decoded to its end, or a package is missing.
        """
        if self.name == "histogram":
            return find_cuts(place, self.threshold)
        from videojam.data.transnet import find_transitions

        return find_transitions(place)


def histogram(pixels: UInt8[Tensor, "3 h w"]) -> Float[Tensor, " bins"]:
    """Return the share of the pixels in each of 64 colour bins."""
    red, green, blue = (pixels.long() * BINS) // 256
    counts = torch.bincount(((red * BINS + green) * BINS + blue).flatten(), minlength=BINS**3)
    return counts / counts.sum()


def change(before: Float[Tensor, " bins"], after: Float[Tensor, " bins"]) -> float:
    """Return the share of pixels that changed their bin at least: half the L1 distance of two histograms."""
    return float((before - after).abs().sum() / 2)


def find_cuts(place: VideoPlace, threshold: float = THRESHOLD) -> list[float]:
    """Return the times in s, after the first frame, at which new scenes begin.

    Args:
        place: A video.
        threshold: Smallest `change` of a cut, 0..1.

    Raises:
        VideoJamError: the file can't be decoded to its end.
    """
    cuts: list[float] = []
    before: Tensor | None = None
    with open_video(place) as source:
        for frame in decode_frames(source):
            now = histogram(to_rgb(frame.image)[:, ::STRIDE_PX, ::STRIDE_PX])
            if before is not None and change(before, now) > threshold:
                if cuts and frame.time_s - cuts[-1] < SHORTEST_S:
                    cuts.pop()  # there and back: a flash
                else:
                    cuts.append(frame.time_s)
            before = now
    return cuts
