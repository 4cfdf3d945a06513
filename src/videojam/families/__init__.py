"""Base architectures: one file each, registered here by the class name of their transformer."""

from __future__ import annotations

from typing import TypeGuard

from videojam.errors import VideoJamError
from videojam.families.base import Family
from videojam.families.cogvideox import CogVideoXFamily
from videojam.families.conversion_only import CONVERSION_ONLY
from videojam.families.denoising import Conditioning
from videojam.families.hunyuan_video import HunyuanVideoFamily
from videojam.families.hunyuan_video15 import HunyuanVideo15Family
from videojam.families.ltx import LTXFamily
from videojam.families.ltx2 import LTX2Family
from videojam.families.mochi import MochiFamily
from videojam.families.projections import Projections
from videojam.families.refused import REFUSED
from videojam.families.stock import Pipeline
from videojam.families.wan import WanFamily

TRAINED: dict[str, Family] = {
    family.transformer_class: family
    for family in (
        WanFamily(),
        CogVideoXFamily(),
        LTXFamily(),
        LTX2Family(),
        MochiFamily(),
        HunyuanVideoFamily(),
        HunyuanVideo15Family(),
    )
}
FAMILIES: dict[str, Projections] = {
    **TRAINED,
    **{projections.transformer_class: projections for projections in CONVERSION_ONLY},
}

__all__ = ["FAMILIES", "Conditioning", "Family", "Projections", "family_of", "projections_of"]


def family_of(source: object) -> Family:
    """Return the family of a transformer, of a pipeline, or of a transformer's class name.

    Raises:
        VideoJamError: the class is not registered, or is only converted.
    """
    name = projections_of(source).transformer_class
    if name not in TRAINED:
        raise VideoJamError(
            expected="a family that is trained and sampled",
            found=f"{name}, which is supported for conversion only",
            where="families",
            fix="Convert it and train with your own code, or add the functions: docs/adding-a-family.md.",
        )
    return TRAINED[name].for_pipeline(source) if _is_pipeline(source) else TRAINED[name]


def projections_of(source: object) -> Projections:
    """Return what converting must know of a transformer, of a pipeline, or of a transformer's class name.

    Raises:
        VideoJamError: the class is not registered; lists those that are.
    """
    if isinstance(source, str):
        names = [source]
    elif _is_pipeline(source):
        parts = (base.__name__ for part in source.components.values() for base in type(part).__mro__)
        names = [next((name for name in parts if name in FAMILIES or name in REFUSED), type(source).__name__)]
    else:
        names = [base.__name__ for base in type(source).__mro__]  # FSDP2 puts a class of its own in front
    for name in names:
        if name in FAMILIES:
            return FAMILIES[name]
    for name in names:
        if name in REFUSED:
            raise VideoJamError(
                expected="a class whose input and output are two projections of one latent",
                found=f"{name}: {REFUSED[name]}",
                where="transformer class",
                fix="Choose another base: `videojam families` lists those that are converted.",
            )
    raise VideoJamError(
        expected=f"one of the known transformer classes: {', '.join(sorted(FAMILIES))}",
        found=names[0],
        where="transformer class",
        fix="Choose another base, or add the class as one file: docs/adding-a-family.md.",
    )


def _is_pipeline(source: object) -> TypeGuard[Pipeline]:
    return hasattr(source, "components")
