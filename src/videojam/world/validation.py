"""The judge's own examination: what it says of damaged clips whose truth is known."""

from __future__ import annotations

import torch
from torch import Tensor

from videojam.world.config import WorldConfig
from videojam.world.damage import APPEARANCE, BORNE, MOTION
from videojam.world.draw import draw_clips
from videojam.world.judge import judge
from videojam.world.kinds import lawful_scenes


def validation_table(
    config: WorldConfig, generator: torch.Generator, num_clips: int = 256
) -> dict[str, dict[str, float]]:
    """Return the shares of coherent clips, of clips as asked, and of explained frames, for each damage.

    The share of coherent clips of a kind is under its name.

    Args:
        config: World.
        generator: Of clips and damage, on the CPU.
        num_clips: Clips of each damage; all are made from the same true ones.
    """
    scenes = lawful_scenes(config)
    distinct = scenes.distinct()
    clips = draw_clips(config, scenes, num_clips, generator)
    table: dict[str, dict[str, float]] = {}
    for damage in (*BORNE, *APPEARANCE, *MOTION):
        verdict = judge(config, distinct, damage(config, scenes, clips, generator), clips.caption)
        kind = scenes.kind[clips.scene]
        shares: dict[str, Tensor] = {
            name: verdict.coherent[kind == index].float() for index, name in enumerate(config.kinds)
        }
        shares |= {"coherent": verdict.coherent.float(), "as_asked": verdict.as_asked.float()}
        shares |= {"explained": verdict.explained}
        table[damage.__name__] = {name: round(float(value.mean()), 4) for name, value in shares.items()}
    return table
