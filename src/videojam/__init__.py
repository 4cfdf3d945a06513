"""VideoJAM: a motion prior for pretrained text-to-video diffusion transformers (arXiv 2502.02492).

The names in `__all__` are the public ones: `from videojam import load_model, sample`. They are loaded on first
use, so that importing the package costs nothing. Semantic versioning covers these names, their parameters and
what they return, the verbs and flags of the command line, the keys of recipes, and the files of a joint model.
Everything else can change in any release.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOMES = {
    "load_model": "videojam.models.load",
    "describe_model": "videojam.models.describe",
    "convert": "videojam.joint.convert",
    "train": "videojam.training.run",
    "sample": "videojam.sampling.sample",
    "generate": "videojam.sampling.generate",
    "verify": "videojam.sampling.verify",
    "export": "videojam.training.outcome.export",
    "read_motion": "videojam.sampling.read_motion",
    "SampleSettings": "videojam.sampling.settings",
    "Guidance": "videojam.guidance.config",
    "MotionCode": "videojam.motion.code",
    "flow_to_rgb": "videojam.motion.rgb",
    "rgb_to_flow": "videojam.motion.rgb",
    "VideoJamError": "videojam.errors",
}

__all__ = [*_HOMES, "__version__"]  # their types are in __init__.pyi


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'videojam' has no attribute {name!r}; public are {', '.join(_HOMES)}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """List the public names before they are loaded, too."""
    return sorted({*globals(), *__all__})
