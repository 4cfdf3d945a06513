"""The procedural benchmark: scenes with exact flow, captions, and coherence read from pixels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videojam.world.appearance import appearance_measures
    from videojam.world.caption import CaptionFacts, parse_caption, vocabulary, write_caption
    from videojam.world.clip import WORLD_VERSION, WorldClip, sample_caption, sample_clip
    from videojam.world.config import KINDS, Kind, WorldConfig
    from videojam.world.damage import DAMAGES, damaged_clip
    from videojam.world.folder import render_folder, score_folder
    from videojam.world.score import ClipScore, score_clip
    from videojam.world.validation import Validation, validation_table

_MODULES = {
    "CaptionFacts": "videojam.world.caption",
    "ClipScore": "videojam.world.score",
    "DAMAGES": "videojam.world.damage",
    "KINDS": "videojam.world.config",
    "Kind": "videojam.world.config",
    "Validation": "videojam.world.validation",
    "WORLD_VERSION": "videojam.world.clip",
    "WorldClip": "videojam.world.clip",
    "WorldConfig": "videojam.world.config",
    "appearance_measures": "videojam.world.appearance",
    "damaged_clip": "videojam.world.damage",
    "parse_caption": "videojam.world.caption",
    "render_folder": "videojam.world.folder",
    "sample_caption": "videojam.world.clip",
    "sample_clip": "videojam.world.clip",
    "score_clip": "videojam.world.score",
    "score_folder": "videojam.world.folder",
    "validation_table": "videojam.world.validation",
    "vocabulary": "videojam.world.caption",
    "write_caption": "videojam.world.caption",
}
"""Where each public name is; loaded on first use, so that `videojam.world.grid` needs neither OpenCV nor PyAV."""

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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
