"""One world clip from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.world.background import draw_background
from videojam.world.caption import write_caption
from videojam.world.config import KINDS, Kind, WorldConfig
from videojam.world.kinds import SCENES
from videojam.world.render import draw
from videojam.world.scene import Scene

WORLD_VERSION = 1


@dataclass(frozen=True)
class WorldClip:
    """A clip with all that is known exactly about it.

    Attributes:
        video: pixels in 0..255.
        flow: (u, v) in px/frame, u right, v down; flow i lives on frame i's grid and points to frame i+1.
        caption: a sentence of the world's grammar.
        kind: the kind of scene.
        moving: pixels whose topmost part moves.
    """

    video: UInt8[Tensor, "t 3 h w"]
    flow: Float[Tensor, "t-1 2 h w"]
    caption: str
    kind: Kind
    moving: Bool[Tensor, "t h w"]


def sample_clip(seed: int, config: WorldConfig | None = None, kind: str | None = None) -> WorldClip:
    """Draw the clip of a seed; the same seed, config and kind give the same clip.

    Args:
        seed: non-negative.
        config: the world; version 1's defaults when None.
        kind: one of `KINDS`; None takes the config's kinds in turn, by `seed` modulo their number.

    Raises:
        VideoJamError: the kind is unknown.
    """
    config = config or WorldConfig()
    scene, rng = make_scene(seed, config, kind)
    drawing = draw(scene, draw_background(rng, config), config.num_frames)
    return WorldClip(
        video=torch.from_numpy(drawing.video),
        flow=torch.from_numpy(drawing.flow),
        caption=write_caption(scene.facts),
        kind=scene.facts.kind,
        moving=torch.from_numpy(drawing.moving),
    )


def make_scene(seed: int, config: WorldConfig, kind: str | None = None) -> tuple[Scene, np.random.Generator]:
    """Draw the scene of a seed; the generator goes on to draw its background."""
    chosen = config.kinds[seed % len(config.kinds)] if kind is None else kind
    for known, draw_scene in SCENES.items():
        if known == chosen:
            entropy = [WORLD_VERSION, seed, KINDS.index(known)]
            rng = np.random.default_rng(np.random.SeedSequence(entropy))
            return draw_scene(rng, config), rng
    raise VideoJamError(
        expected=f"a kind among {', '.join(KINDS)}",
        found=repr(chosen),
        where="kind of world clip",
        fix="Name one of the kinds, or leave it out to take them in turn.",
    )


def sample_caption(seed: int, config: WorldConfig | None = None, kind: str | None = None) -> str:
    """Return the caption of `sample_clip` with the same arguments, without drawing the clip."""
    return write_caption(make_scene(seed, config or WorldConfig(), kind)[0].facts)
