"""Drawing clips: static texture anew for each clip, a mover that differs from it only in red, a pillar in blue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from videojam.world.captions import caption_index
from videojam.world.config import MAX_UNITS, MID_LEVEL, UNIT_LEVELS, WorldConfig
from videojam.world.scenes import Scenes


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


def draw_clips(config: WorldConfig, scenes: Scenes, num: int, generator: torch.Generator) -> Clips:
    """Draw clips at random on the generator's device, where the scenes must be too.

    Args:
        config: World.
        scenes: Its lawful scenes.
        num: How many clips.
        generator: Of scenes, tints and textures.
    """
    device = generator.device
    scene, warm, caption = draw_scenes(config, scenes, num, generator)
    ground = torch.randn(num, 3, config.size_px**2, generator=generator, device=device)
    pillar = config.offset + config.mover_texture * ground[:, 2]
    ground *= config.texture
    ground[:, 2] = torch.where(scenes.front[scene], pillar, ground[:, 2])
    cells = torch.randn(num, 1, scenes.place.shape[2], generator=generator, device=device)
    tint = (2 * warm - 1)[:, None, None] * scenes.sign[scene][:, None]
    cells = cells * config.mover_texture + config.offset * tint
    ground, cells = (part.clamp(-MAX_UNITS, MAX_UNITS) for part in (ground, cells))
    still = ground[:, :, None].expand(-1, -1, config.num_frames, -1)
    red = painted(still[:, 0], scenes.shown(scene), cells.expand(-1, config.num_frames, -1))
    x = torch.cat([red[:, None], still[:, 1:]], dim=1)
    return Clips(x.unflatten(3, (config.size_px, config.size_px)), scene, caption)


def draw_scenes(
    config: WorldConfig, scenes: Scenes, num: int, generator: torch.Generator
) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"], Int[Tensor, " b"]]:
    """Draw what `draw_clips` draws first: rows of scenes, tints (1 is warm), and the captions that follow."""
    draw: dict[str, Any] = {"generator": generator, "device": generator.device}
    scene = torch.randint(len(scenes), (num,), **draw)
    warm = torch.randint(2, (num,), **draw)
    return scene, warm, caption_index(config, scenes.kind[scene], scenes.speed[scene], warm)


def exact_flow(config: WorldConfig, scenes: Scenes, scene: Int[Tensor, " b"]) -> Float[Tensor, "b 2 f h w"]:
    """Return (u, v) from each frame to the next, in px; 0 where nothing moves.

    Args:
        config: World.
        scenes: Its lawful scenes.
        scene: Rows of the table.
    """
    return on_grid(config, scenes, scene, scenes.velocity)


def on_grid(
    config: WorldConfig, scenes: Scenes, scene: Int[Tensor, " b"], values: Float[Tensor, "k f p c"]
) -> Float[Tensor, "b c f h w"]:
    """Put a value of each cell where the cell shows, and 0 elsewhere.

    Args:
        config: World.
        scenes: Its lawful scenes.
        scene: Rows of the table.
        values: For every cell of the table.
    """
    cells = values[scene].permute(0, 3, 1, 2)
    rest = torch.zeros(*cells.shape[:3], scenes.num_pixels, device=cells.device)
    grid = painted(rest, scenes.shown(scene)[:, None].expand_as(cells), cells)
    return grid.unflatten(3, (config.size_px, config.size_px))


def painted(
    frames: Float[Tensor, "*n q"], shown: Int[Tensor, "*n p"], cells: Float[Tensor, "*n p"]
) -> Float[Tensor, "*n q"]:
    """Return frames with cells put where they show; a cell at Q, one past the last pixel, is hidden."""
    return functional.pad(frames, (0, 1)).scatter_(-1, shown, cells)[..., :-1]


def to_levels(x: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Round units to 8-bit levels."""
    return (x * UNIT_LEVELS + MID_LEVEL).round().clamp(0, 255).to(torch.uint8)


def to_units(levels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Invert `to_levels`."""
    return (levels.float() - MID_LEVEL) / UNIT_LEVELS
