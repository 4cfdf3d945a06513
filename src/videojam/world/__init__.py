"""The procedural benchmark: scenes with exact flow, captions, and coherence read from pixels."""

from videojam.world.appearance import appearance_measures
from videojam.world.caption import CaptionFacts, parse_caption, vocabulary, write_caption
from videojam.world.clip import WORLD_VERSION, WorldClip, sample_caption, sample_clip
from videojam.world.config import KINDS, Kind, WorldConfig
from videojam.world.damage import DAMAGES, damaged_clip
from videojam.world.folder import render_folder, score_folder
from videojam.world.score import ClipScore, score_clip
from videojam.world.validation import Validation, validation_table

__all__ = [
    "DAMAGES",
    "KINDS",
    "WORLD_VERSION",
    "CaptionFacts",
    "ClipScore",
    "Kind",
    "Validation",
    "WorldClip",
    "WorldConfig",
    "appearance_measures",
    "damaged_clip",
    "parse_caption",
    "render_folder",
    "sample_caption",
    "sample_clip",
    "score_clip",
    "score_folder",
    "validation_table",
    "vocabulary",
    "write_caption",
]
