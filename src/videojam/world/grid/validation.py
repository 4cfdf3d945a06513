"""The judge's own examination: what it says of damaged clips whose truth is known."""

from __future__ import annotations

import torch

from videojam.world.grid.config import GridConfig
from videojam.world.grid.damage import APPEARANCE, BORNE, MOTION
from videojam.world.grid.draw import draw_clips
from videojam.world.grid.judge import judge
from videojam.world.grid.scenes import lawful_scenes


def validation_table(
    config: GridConfig, generator: torch.Generator, num_clips: int = 256
) -> dict[str, dict[str, float]]:
    """Return the shares of coherent clips, of clips as asked, and of explained frames, for each damage.

    Args:
        config: World.
        generator: Of clips and damage, on the CPU.
        num_clips: Clips of each damage; all are made from the same true ones.
    """
    scenes = lawful_scenes(config)
    distinct = scenes.distinct()
    clips = draw_clips(config, scenes, num_clips, generator)
    table = {}
    for damage in (*BORNE, *APPEARANCE, *MOTION):
        verdict = judge(config, distinct, damage(config, scenes, clips, generator), clips.caption)
        table[damage.__name__] = {
            "coherent": round(float(verdict.coherent.float().mean()), 4),
            "as_asked": round(float(verdict.as_asked.float().mean()), 4),
            "explained": round(float(verdict.explained.mean()), 4),
        }
    return table
