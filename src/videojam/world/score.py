"""The coherence of one clip as a file shows it, from only its pixels and its caption."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.world.clip import caption_row
from videojam.world.config import MIN_FRAMES, Kind, WorldConfig
from videojam.world.judge import Verdict, judge
from videojam.world.kinds import distinct_scenes

WORDS = ("the ground changes", "the mover is not where it should be", "green or blue changes")
"""The judge's reasons, in the order of `videojam.world.REASONS`."""


@dataclass(frozen=True)
class ClipScore:
    """What the judge says of one clip.

    Attributes:
        kind: The kind of motion that the caption names.
        coherent: One lawful clip explains every frame.
        as_asked: It does, and kind, tint and speed are the caption's.
        explained: Share of frames that the best lawful clip explains, 0..1.
        reasons: In words, for each frame that it does not explain.
    """

    kind: Kind
    coherent: bool
    as_asked: bool
    explained: float
    reasons: tuple[str, ...]


def score_clip(video: UInt8[Tensor, "t 3 h w"], caption: str, config: WorldConfig | None = None) -> ClipScore:
    """Score a clip against every lawful clip of a world with as many frames.

    Args:
        video: Pixels of the world's frames at any whole enlargement.
        caption: A caption of the world.
        config: The world; the default one if None.

    Raises:
        VideoJamError: the caption is none of the world's, or the clip is not of its size.
    """
    config = config or WorldConfig()
    found = explain(video, caption, config)
    row = caption_row(caption, config)
    return ClipScore(
        kind=config.kinds[row // (2 * len(config.speeds))],
        coherent=bool(found.coherent[0]),
        as_asked=bool(found.as_asked[0]),
        explained=float(found.explained[0]),
        reasons=_in_words(found),
    )


def explain(video: UInt8[Tensor, "t 3 h w"], caption: str, config: WorldConfig) -> Verdict:
    """Judge one clip as it is seen.

    Raises:
        VideoJamError: as `score_clip`.
    """
    asked = torch.tensor([caption_row(caption, config)])
    pixels = world_pixels(video, config)
    seen = config.model_copy(update={"num_frames": len(video)})
    return judge(seen, distinct_scenes(seen), pixels[None], asked)


def world_pixels(video: UInt8[Tensor, "t 3 h w"], config: WorldConfig) -> UInt8[Tensor, "3 t size size"]:
    """Undo a whole enlargement: the mean of each block of pixels.

    Raises:
        VideoJamError: too few frames, or a size that is no multiple of the world's.
    """
    num_frames, _, height, width = video.shape
    size = config.size_px
    if num_frames < MIN_FRAMES or height != width or height % size:
        raise VideoJamError(
            expected=f"at least {MIN_FRAMES} square frames of a multiple of {size} px",
            found=f"{num_frames} frames of {width}×{height} px",
            where="the clip",
            fix="Sample at the size of the model's defaults.",
        )
    blocks = video.float().unflatten(3, (size, -1)).unflatten(2, (size, -1))
    return blocks.mean((3, 5)).round().to(torch.uint8).transpose(0, 1)


def _in_words(found: Verdict) -> tuple[str, ...]:
    return tuple(
        f"frame {frame + 1}: {' and '.join(word for word, no in zip(WORDS, failed, strict=True) if no)}"
        for frame, failed in enumerate(found.failed[0].tolist())
        if any(failed)
    )
