"""One clip from one seed, as a file shows it: each pixel of the world is a block of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.world.captions import captions
from videojam.world.config import MIN_FRAMES, Kind, WorldConfig
from videojam.world.draw import draw_clips, draw_scenes, exact_flow, to_levels
from videojam.world.kinds import lawful_scenes

WORLD_VERSION = 2
"""Changes where the clip of a seed, or what the judge says of a clip, changes."""
NUM_DRAWN = 16
"""Clips that a seed draws at a time; the clip of a caption is the first of them that has it."""


@dataclass(frozen=True)
class WorldClip:
    """A clip with all that is known exactly about it.

    Attributes:
        video: Pixels in 0..255.
        flow: (u, v) in px/frame, u right, v down; flow i lies on frame i and points to frame i+1.
        caption: A sentence of the world's grammar.
        kind: Its kind of motion.
    """

    video: UInt8[Tensor, "t 3 h w"]
    flow: Float[Tensor, "t-1 2 h w"]
    caption: str
    kind: Kind


def sample_clip(
    seed: int,
    config: WorldConfig | None = None,
    caption: str | None = None,
    order: Sequence[int] | None = None,
) -> WorldClip:
    """Draw the clip of a seed; the same arguments give the same clip.

    Args:
        seed: Non-negative.
        config: The world; the default one if None.
        caption: What the clip shall show; the first caption that the seed draws if None.
        order: Numbers of the frames in their new order; flow is that of the new order. None keeps the order.

    Raises:
        VideoJamError: the caption is none of the world's, or a kind has no lawful scene in it.
    """
    config = config or WorldConfig()
    scenes, texts = lawful_scenes(config), captions(config)
    wanted = None if caption is None else caption_row(caption, config)
    chance = torch.Generator().manual_seed(seed)
    row = None
    while row is None:
        clips = draw_clips(config, scenes, NUM_DRAWN, chance)
        row = _first(clips.caption, wanted)
    scene = scenes[clips.scene[row : row + 1]]
    frames = list(range(config.num_frames)) if order is None else list(order)
    scene = scene if order is None else scene.in_order(frames)
    flow = config.pixel_px * exact_flow(config, scene, torch.tensor([0]))[0, :, :-1].transpose(0, 1)
    video = to_levels(clips.x[row, :, frames]).transpose(0, 1)
    return WorldClip(
        video=enlarged(video, config.pixel_px),
        flow=enlarged(flow, config.pixel_px),
        caption=texts[int(clips.caption[row])],
        kind=config.kinds[int(scene.kind)],
    )


def sample_caption(seed: int, config: WorldConfig | None = None) -> str:
    """Return the caption of `sample_clip` of the same seed, without drawing the clip."""
    config = config or WorldConfig()
    chance = torch.Generator().manual_seed(seed)
    _, _, caption = draw_scenes(config, lawful_scenes(config), NUM_DRAWN, chance)
    return captions(config)[int(caption[0])]


def world_of_size(config: WorldConfig, num_frames: int, height: int, width: int, fps: float) -> WorldConfig:
    """Return a world whose files have a length, size and rate.

    Raises:
        VideoJamError: the files would not be square, or not a multiple of the world's pixels.
    """
    if height != width or height % config.size_px or num_frames < MIN_FRAMES:
        raise VideoJamError(
            expected=f"at least {MIN_FRAMES} square frames of a multiple of {config.size_px} px",
            found=f"{num_frames} frames of {width}×{height} px",
            where="the size of the world's clips",
            fix=f"Give height and width the same multiple of {config.size_px}, such as {8 * config.size_px}.",
        )
    size = {"num_frames": num_frames, "pixel_px": height // config.size_px, "fps": fps}
    return config.model_copy(update=size)


def caption_row(caption: str, config: WorldConfig) -> int:
    """Return the row of `captions` at which a caption stands.

    Raises:
        VideoJamError: it is none of the world's.
    """
    known = captions(config)
    if caption not in known:
        raise VideoJamError(
            expected=f"a caption of the world, such as {known[0]!r}",
            found=repr(caption[:120]),
            where="caption",
            fix="Use the captions of --suite world, or those that `videojam world render` writes.",
        )
    return known.index(caption)


def enlarged(pixels: Tensor, factor: int) -> Tensor:
    """Return pixels `[..., H, W]` each as a block of `factor` × `factor`."""
    return pixels.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def _first(drawn: Tensor, wanted: int | None) -> int | None:
    if wanted is None:
        return 0
    fitting = (drawn == wanted).nonzero()
    return int(fitting[0]) if len(fitting) else None
