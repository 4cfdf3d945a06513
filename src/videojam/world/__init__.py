"""The procedural benchmark: exactly lawful motion over static texture, and a judge that tries every lawful clip."""

from videojam.world.captions import caption_index, captions, text_table
from videojam.world.clip import WORLD_VERSION, WorldClip, enlarged, sample_caption, sample_clip
from videojam.world.config import KINDS, WorldConfig
from videojam.world.draw import Clips, draw_clips, exact_flow, to_levels, to_units
from videojam.world.judge import REASONS, Verdict, judge
from videojam.world.kinds import distinct_scenes, lawful_scenes
from videojam.world.scenes import Scenes
from videojam.world.score import ClipScore, score_clip

__all__ = [
    "KINDS",
    "REASONS",
    "WORLD_VERSION",
    "ClipScore",
    "Clips",
    "Scenes",
    "Verdict",
    "WorldClip",
    "WorldConfig",
    "caption_index",
    "captions",
    "distinct_scenes",
    "draw_clips",
    "enlarged",
    "exact_flow",
    "judge",
    "lawful_scenes",
    "sample_caption",
    "sample_clip",
    "score_clip",
    "text_table",
    "to_levels",
    "to_units",
]
