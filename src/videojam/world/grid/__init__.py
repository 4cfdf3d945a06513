"""The pixel-grid world: exactly lawful motion over static texture, and a judge that tries every lawful clip."""

from videojam.world.grid.captions import caption_index, captions, text_table
from videojam.world.grid.config import GridConfig
from videojam.world.grid.draw import Clips, draw_clips, exact_flow, to_levels, to_units
from videojam.world.grid.judge import REASONS, Verdict, judge
from videojam.world.grid.kinds import lawful_scenes
from videojam.world.grid.scenes import Scenes

__all__ = [
    "REASONS",
    "Clips",
    "GridConfig",
    "Scenes",
    "Verdict",
    "caption_index",
    "captions",
    "draw_clips",
    "exact_flow",
    "judge",
    "lawful_scenes",
    "text_table",
    "to_levels",
    "to_units",
]
