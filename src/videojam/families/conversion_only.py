"""Classes that are converted, and no more: a line each, and a few methods where the widths need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from videojam.families.projections import Projections
from videojam.families.stock import Config


@dataclass(frozen=True)
class KandinskyProjections(Projections):
    """With `visual_cond` the input is `[x, condition, mask]`, which the config's width does not count."""

    def num_doubled(self, config: Config) -> int:
        """Return 2 where a condition follows x; the joint input is `[x, d, its condition, d's, mask]`."""
        return 2 if config.get("visual_cond") else 1

    def num_inputs(self, config: Config) -> int:
        """Return the width of the layer, condition and mask included."""
        width = int(config[self.in_key])
        return 2 * width + 1 if config.get("visual_cond") else width

    def ties_channels(self, config: Config) -> bool:
        """With a condition the layer reads 2·in + 1 channels, so that one more can't be stated."""
        return bool(config.get("visual_cond"))


@dataclass(frozen=True)
class CosmosProjections(Projections):
    """The network appends a padding mask to its input."""

    def num_inputs(self, config: Config) -> int:
        """Return the width of the layer, the padding mask included."""
        return int(config[self.in_key]) + bool(config.get("concat_padding_mask", True))


@dataclass(frozen=True)
class LatteProjections(Projections):
    """The network may predict a variance too, `[ε, variance]`; the joint one, `[ε_x, ε_d, both variances]`.

    That it does is known from the channels out being twice those in, which ties them.
    """

    is_tied: bool = True

    def latent_channels(self, config: Config) -> int:
        """Return the channels in; those out may be twice as many."""
        return int(config[self.in_key])

    def num_outputs(self, config: Config) -> int:
        """Return the channels out, the variance included."""
        return int(config.get(self.out_key) or config[self.in_key])

    def joint_config(self, config: Config) -> dict[str, Any]:
        """Return the config with all channels doubled."""
        self._require_untied(config)
        return {**config, self.in_key: 2 * config[self.in_key], self.out_key: 2 * self.num_outputs(config)}

    def base_config(self, config: Config) -> dict[str, Any]:
        """Halve all channels."""
        return {**config, self.in_key: config[self.in_key] // 2, self.out_key: self.num_outputs(config) // 2}


SCHEDULER = "as the checkpoint's scheduler says"


def _like_wan(transformer_class: str, checkpoints: str) -> Projections:
    return Projections(transformer_class, "patch_embedding", "proj_out", "c_inner", checkpoints)


def _kandinsky(transformer_class: str, checkpoints: str) -> Projections:
    return KandinskyProjections(
        transformer_class,
        "visual_embeddings.in_layer",
        "out_layer.out_layer",
        "c_outer",
        checkpoints,
        input_layout="c_inner",
        in_key="in_visual_dim",
        out_key="out_visual_dim",
        channel_dim=-1,
    )


CONVERSION_ONLY: tuple[Projections, ...] = (
    _like_wan("SkyReelsV2Transformer3DModel", "SkyReels-V2"),
    _like_wan("ChronoEditTransformer3DModel", "ChronoEdit"),
    _like_wan("WanVACETransformer3DModel", "Wan 2.1 VACE"),
    _like_wan("SanaVideoTransformer3DModel", "SANA-Video"),
    # distilled to jump from one time to another: trained further by Eq. 6, it is a flow model again
    Projections(
        "AnyFlowTransformer3DModel",
        "patch_embedding",
        "proj_out",
        "c_inner",
        "AnyFlow (bidirectional)",
        "flow map, the mean of ε − x from one time to another",
        channel_dim=2,
    ),
    Projections(
        "ConsisIDTransformer3DModel",
        "patch_embed.proj",
        "proj_out",
        "c_outer",
        "ConsisID",
        "v, √ᾱ·ε − √(1−ᾱ)·x",
        channel_dim=2,
    ),
    Projections("AllegroTransformer3DModel", "pos_embed.proj", "proj_out", "c_inner", "Allegro", SCHEDULER),
    LatteProjections(
        "LatteTransformer3DModel", "pos_embed.proj", "proj_out", "c_inner", "Latte-1", SCHEDULER
    ),
    Projections(
        "EasyAnimateTransformer3DModel", "proj", "proj_out", "c_outer", "EasyAnimate V5.1", is_tied=True
    ),
    Projections("MotifVideoTransformer3DModel", "x_embedder.proj", "proj_out", "c_outer", "Motif-Video"),
    _kandinsky("Kandinsky5Transformer3DModel", "Kandinsky 5.0 Video"),
    _kandinsky("Kandinsky6Transformer3DModel", "Kandinsky 6.0 Video (video branch)"),
    CosmosProjections(
        "CosmosTransformer3DModel",
        "patch_embed.proj",
        "proj_out",
        "c_inner",
        "Cosmos Predict 1 and 2",
        SCHEDULER,
    ),
)
