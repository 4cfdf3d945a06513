"""The paper's own bases, DiT-4B and DiT-30B, as sizes of the stock Wan class."""

from __future__ import annotations

from typing import Any

import torch

from videojam.errors import VideoJamError

COMMON = {
    "attention_head_dim": 128,
    "patch_size": (1, 2, 2),
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
}
PRESETS: dict[str, dict[str, Any]] = {
    "dit-4b": COMMON | {"num_attention_heads": 24, "ffn_dim": 4 * 3072, "num_layers": 32},
    "dit-30b": COMMON | {"num_attention_heads": 48, "ffn_dim": 4 * 6144, "num_layers": 48},
}
"""Width (heads × 128) and depth are the paper's; the rest is chosen here (docs/presets.md)."""


def preset_config(name: str, **overrides: Any) -> dict[str, Any]:
    """Return the transformer config of a preset.

    Args:
        name: A key of `PRESETS`.
        overrides: Other values of its keys, for instance `num_layers=2` for a small copy to try.

    Raises:
        VideoJamError: no such preset or key.
    """
    if name not in PRESETS:
        raise VideoJamError(
            expected=f"a preset: {', '.join(PRESETS)}",
            found=name,
            where="preset",
            fix="Choose one of these, or convert a published base.",
        )
    unknown = sorted(overrides.keys() - PRESETS[name].keys())
    if unknown:
        raise VideoJamError(
            expected=f"keys of the preset: {', '.join(PRESETS[name])}",
            found=", ".join(unknown),
            where=f"preset {name}",
            fix="Correct the key.",
        )
    return PRESETS[name] | overrides


def build_preset(name: str, device: str | torch.device = "meta", **overrides: Any) -> Any:
    """Return a preset's transformer, a stock WanTransformer3DModel; on `meta` it has shapes and no memory.

    Args:
        name: `dit-4b` or `dit-30b`.
        device: Where its fp32 weights are drawn.
        overrides: As for `preset_config`.
    """
    with torch.device(device):
        return transformer_of(preset_config(name, **overrides))


def transformer_of(config: dict[str, Any]) -> Any:
    """Return a stock WanTransformer3DModel with random weights.

    Args:
        config: Of the class.
    """
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(**config)
