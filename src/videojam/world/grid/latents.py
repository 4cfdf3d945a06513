"""The identity codec: latents are pixels, in standard deviations of the world's appearance."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from videojam.motion.code import MotionCode
from videojam.motion.rgb import flow_to_rgb
from videojam.world.grid.config import MID_LEVEL, UNIT_LEVELS, GridConfig
from videojam.world.grid.draw import on_grid
from videojam.world.grid.scenes import Scenes


def appearance_std(config: GridConfig) -> float:
    """Return the standard deviation of a clip's brightness in units, over places, frames and clips."""
    mover_share = config.mover_px**2 / config.size_px**2 / 3
    mover = config.offset**2 + config.mover_texture**2
    return float((1 - mover_share) * config.texture**2 + mover_share * mover) ** 0.5


def encode(config: GridConfig, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Units → latents of unit standard deviation."""
    return x / appearance_std(config)


def decode(config: GridConfig, latents: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Invert `encode`."""
    return latents * appearance_std(config)


def cell_colours(config: GridConfig, scenes: Scenes, code: MotionCode) -> Float[Tensor, "k f p 3"]:
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
    config: GridConfig,
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
