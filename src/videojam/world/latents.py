"""The identity codec: latents are pixels, in standard deviations of the world's appearance."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from videojam.motion.code import MotionCode
from videojam.motion.rgb import flow_to_rgb
from videojam.world.config import MID_LEVEL, UNIT_LEVELS, WorldConfig
from videojam.world.draw import on_grid
from videojam.world.kinds import lawful_scenes
from videojam.world.scenes import Scenes


@cache
def appearance_std(config: WorldConfig) -> float:
    """Return the standard deviation of a clip's brightness in units, over channels, places, frames and clips.

    Movers show in red and a pillar in blue. Tints are as often warm as cool, so that only a pillar has a mean.
    """
    scenes = lawful_scenes(config)
    num_places = scenes.hidden.shape[0] * scenes.hidden.shape[1] * scenes.num_pixels
    mover_share = int((~scenes.hidden).sum()) / num_places / 3
    pillar_share = int(scenes.front.sum()) / scenes.front.numel() / 3
    shape_square = config.offset**2 + config.mover_texture**2
    square = (1 - mover_share - pillar_share) * config.texture**2 + (
        mover_share + pillar_share
    ) * shape_square
    return float(square - (pillar_share * config.offset) ** 2) ** 0.5


def encode(config: WorldConfig, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Units → latents of unit standard deviation."""
    return x / appearance_std(config)


def decode(config: WorldConfig, latents: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Invert `encode`."""
    return latents * appearance_std(config)


def cell_colours(config: WorldConfig, scenes: Scenes, code: MotionCode) -> Float[Tensor, "k f p 3"]:
    """Draw the velocity of every cell of the table as RGB in 0..1 (Eq. 5).

    Args:
        config: World; the frame's diagonal is Eq. 5's scale.
        scenes: Its lawful scenes.
        code: How flow is drawn.
    """
    velocities, index = torch.unique(scenes.velocity.flatten(0, 2), dim=0, return_inverse=True)
    fields = velocities[..., None, None].expand(-1, -1, config.size_px, config.size_px)
    return flow_to_rgb(fields, code)[:, :, 0, 0][index].unflatten(0, scenes.place.shape)


def encode_motion(
    config: WorldConfig,
    scenes: Scenes,
    scene: Int[Tensor, " b"],
    colours: Float[Tensor, "k f p 3"],
    gain: float,
) -> Float[Tensor, "b 3 f h w"]:
    """Encode the drawn flow of clips as if it were a clip, times a gain.

    Args:
        config: World.
        scenes: Its lawful scenes.
        scene: Rows of the table.
        colours: `cell_colours` of the table, on the same device; rest is black.
        gain: Factor on the latents.
    """
    rgb = on_grid(config, scenes, scene, colours)
    return gain * encode(config, (255 * rgb - MID_LEVEL) / UNIT_LEVELS)
