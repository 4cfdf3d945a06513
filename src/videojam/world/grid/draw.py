"""Drawing clips: static texture anew for each clip, and a mover that differs from it only in red."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from videojam.world.grid.captions import caption_index
from videojam.world.grid.config import MAX_UNITS, MID_LEVEL, UNIT_LEVELS, GridConfig
from videojam.world.grid.scenes import Scenes


@dataclass(frozen=True)
class Clips:
    """A batch of clips with what was drawn.

    Attributes:
        x: Brightness in units, `[B, 3, F, H, W]`.
        scene: Row of the table of scenes.
        caption: Row of the table of captions.
    """

    x: Float[Tensor, "b 3 f h w"]
    scene: Int[Tensor, " b"]
    caption: Int[Tensor, " b"]


def draw_clips(config: GridConfig, scenes: Scenes, num: int, generator: torch.Generator) -> Clips:
    """Draw clips at random on the generator's device, where the scenes must be too.

    Args:
        config: World.
        scenes: Its lawful scenes.
        num: How many clips.
        generator: Of scenes, tints and textures.
    """
    device = generator.device
    scene = torch.randint(len(scenes), (num,), generator=generator, device=device)
    warm = torch.randint(2, (num,), generator=generator, device=device)
    ground = torch.randn(num, 3, config.size_px**2, generator=generator, device=device) * config.texture
    cells = torch.randn(num, 1, scenes.place.shape[2], generator=generator, device=device)
    cells = cells * config.mover_texture + config.offset * (2 * warm - 1)[:, None, None]
    ground, cells = (part.clamp(-MAX_UNITS, MAX_UNITS) for part in (ground, cells))
    x = ground[:, :, None].expand(-1, -1, config.num_frames, -1).clone()
    place = scenes.place[scene]
    under = ground[:, :1].expand(-1, config.num_frames, -1).gather(2, place)
    x[:, 0].scatter_(2, place, torch.where(scenes.hidden[scene], under, cells))
    caption = caption_index(config, scenes.kind[scene], scenes.speed[scene], warm)
    return Clips(x.unflatten(3, (config.size_px, config.size_px)), scene, caption)


def exact_flow(config: GridConfig, scenes: Scenes, scene: Int[Tensor, " b"]) -> Float[Tensor, "b 2 f h w"]:
    """Return (u, v) from each frame to the next, in px; 0 where nothing moves.

    Args:
        config: World.
        scenes: Its lawful scenes.
        scene: Rows of the table.
    """
    return on_grid(config, scenes, scene, scenes.velocity)


def on_grid(
    config: GridConfig, scenes: Scenes, scene: Int[Tensor, " b"], values: Float[Tensor, "k f p c"]
) -> Float[Tensor, "b c f h w"]:
    """Put a value of each cell where the cell shows, and 0 elsewhere.

    Args:
        config: World.
        scenes: Its lawful scenes.
        scene: Rows of the table.
        values: For every cell of the table.
    """
    shown = (values[scene] * ~scenes.hidden[scene][..., None]).permute(0, 3, 1, 2)
    place = scenes.place[scene][:, None].expand_as(shown)
    grid = torch.zeros(*shown.shape[:3], config.size_px**2, device=shown.device)
    return grid.scatter_(3, place, shown).unflatten(3, (config.size_px, config.size_px))


def to_levels(x: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Round units to 8-bit levels."""
    return (x * UNIT_LEVELS + MID_LEVEL).round().clamp(0, 255).to(torch.uint8)


def to_units(levels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Invert `to_levels`."""
    return (levels.float() - MID_LEVEL) / UNIT_LEVELS
