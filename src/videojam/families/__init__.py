"""Base architectures: one file each, registered here by the class name of their transformer."""

from __future__ import annotations

from typing import Any

from videojam.errors import VideoJamError
from videojam.families.base import Conditioning, Family
from videojam.families.cogvideox import CogVideoXFamily
from videojam.families.conversion_only import CONVERSION_ONLY
from videojam.families.hunyuan_video import HunyuanVideoFamily
from videojam.families.hunyuan_video15 import HunyuanVideo15Family
from videojam.families.ltx import LTXFamily
from videojam.families.mochi import MochiFamily
from videojam.families.wan import WanFamily

FAMILIES: dict[str, Family] = {
    family.transformer_class: family
    for family in (
        WanFamily(),
        CogVideoXFamily(),
        LTXFamily(),
        MochiFamily(),
        HunyuanVideoFamily(),
        HunyuanVideo15Family(),
        *CONVERSION_ONLY,
    )
}

__all__ = ["FAMILIES", "Conditioning", "Family", "family_of"]


def family_of(source: Any) -> Family:
    """Return the family of a transformer, of a pipeline, or of a transformer's class name.

    Raises:
        VideoJamError: the class is not registered; lists those that are.
    """
    if isinstance(source, str):
        names = [source]
    elif hasattr(source, "components"):
        for component in source.components.values():
            for base in type(component).__mro__:
                if base.__name__ in FAMILIES:
                    return FAMILIES[base.__name__].for_pipeline(source)
        names = [type(source).__name__]
    else:
        names = [base.__name__ for base in type(source).__mro__]  # FSDP2 puts a class of its own in front
    for name in names:
        if name in FAMILIES:
            return FAMILIES[name]
    raise VideoJamError(
        expected=f"one of the known transformer classes: {', '.join(sorted(FAMILIES))}",
        found=names[0],
        where="transformer class",
        fix="Choose another base, or add the class as one file: docs/adding-a-family.md.",
    )
