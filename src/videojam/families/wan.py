"""Wan 2.1 (T2V, I2V), Wan 2.2 A14B (two experts) and TI2V-5B (a timestep for each token)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.families.base import Family
from videojam.families.denoising import Conditioning, Generators
from videojam.families.first_frame import FIRST, token_times, with_first_frame
from videojam.families.latent_codec import channel_statistics, pixels_of
from videojam.families.projections import Layout
from videojam.families.stock import Autoencoder, Config, Pipeline, Transformer

ORIGINAL_NAMES = (
    (r"^condition_embedder\.time_embedder\.linear_1\.", "time_embedding.0."),
    (r"^condition_embedder\.time_embedder\.linear_2\.", "time_embedding.2."),
    (r"^condition_embedder\.text_embedder\.linear_1\.", "text_embedding.0."),
    (r"^condition_embedder\.text_embedder\.linear_2\.", "text_embedding.2."),
    (r"^condition_embedder\.time_proj\.", "time_projection.1."),
    (r"^condition_embedder\.image_embedder\.norm1\.", "img_emb.proj.0."),
    (r"^condition_embedder\.image_embedder\.ff\.net\.0\.proj\.", "img_emb.proj.1."),
    (r"^condition_embedder\.image_embedder\.ff\.net\.2\.", "img_emb.proj.3."),
    (r"^condition_embedder\.image_embedder\.norm2\.", "img_emb.proj.4."),
    (r"^condition_embedder\.image_embedder\.pos_embed$", "img_emb.emb_pos"),
    (r"^scale_shift_table$", "head.modulation"),
    (r"^proj_out\.", "head.head."),
    (r"\.scale_shift_table$", ".modulation"),
    (r"\.attn1\.", ".self_attn."),
    (r"\.attn2\.", ".cross_attn."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", ".o."),
    (r"\.add_([kv])_proj\.", r".\1_img."),
    (r"\.norm_added_k\.", ".norm_k_img."),
    (r"\.ffn\.net\.0\.proj\.", ".ffn.0."),
    (r"\.ffn\.net\.2\.", ".ffn.2."),
    (r"\.norm2\.", ".norm3."),  # that of the cross-attention, the only one with weights
)
"""From the names of diffusers to those of the Wan team's code, which ComfyUI reads too."""


@dataclass(frozen=True)
class WanFamily(Family):
    """Flow matching, x_σ = (1−σ)x + σε, prediction ε − x, timestep 1000σ; latents (z−mean)/std a channel.

    The I2V input is `[x, d, mask, condition]`: the motion channels sit right after x. TI2V-5B with an image puts
    its latent into x's first frame, whose tokens have timestep 0; d is null there, and outside the loss.

    Attributes:
        per_token_timestep: TI2V-5B: the timestep is repeated for each token, `[B, L]`.
    """

    transformer_class: str = "WanTransformer3DModel"
    input_projection: str = "patch_embedding"
    output_projection: str = "proj_out"
    text_key: str = "text_dim"
    output_layout: Layout = "c_inner"
    checkpoints: str = "Wan 2.1 T2V and I2V (1.3B, 14B), Wan 2.2 A14B and TI2V-5B"
    image_pipelines: tuple[str, ...] = ("WanImageToVideoPipeline",)
    original_names: tuple[tuple[str, str], ...] = ORIGINAL_NAMES
    per_token_timestep: bool = False

    def for_pipeline(self, pipe: Pipeline) -> WanFamily:
        """Read from the pipeline's config whether it spreads the timestep over tokens."""
        per_token = bool(pipe.config.get("expand_timesteps", False))
        return replace(self, per_token_timestep=per_token, fps=24.0 if per_token else 16.0)

    def original_config(self, config: Config) -> dict[str, Any]:
        """Return what shapes say only of the published sizes: patches of 1×2×2, heads of 128, time in 256 waves."""
        return {
            "num_heads": config["num_attention_heads"],
            "patch_size": list(config["patch_size"]),
            "in_dim": config["in_channels"],
            "out_dim": config["out_channels"],
            "freq_dim": config["freq_dim"],
            "text_dim": config["text_dim"],
            "eps": config["eps"],
        }

    def image_pipeline(self, pipe: Pipeline) -> Pipeline | None:
        """Return TI2V-5B's image-to-video pipeline; the other models' have transformers of their own."""
        from diffusers import WanImageToVideoPipeline

        if not self.per_token_timestep:
            return None
        return cast(Pipeline, WanImageToVideoPipeline(**pipe.components, expand_timesteps=True))

    def run_pipeline(
        self, pipe: Pipeline, latents: Tensor, generators: Generators, **arguments: Any
    ) -> Tensor:
        """Call the stock pipeline; TI2V-5B's blends a condition of C channels, which gets null motion's C more."""
        is_joint = latents.shape[1] != pipe.vae.config.z_dim
        own = self.per_token_timestep and is_joint and "image" in arguments
        with _condition_of_both_halves(pipe) if own else nullcontext():
            return super().run_pipeline(pipe, latents, generators, **arguments)

    def transformer_at(self, pipe: Pipeline, timestep: float) -> Transformer:
        """Return A14B's high-noise expert from the boundary up, and its low-noise expert below it."""
        ratio = pipe.config.get("boundary_ratio")
        low = ratio is not None and timestep < ratio * pipe.scheduler.config.num_train_timesteps
        return pipe.transformer_2 if low else pipe.transformer

    def sigma_range(self, pipe: Pipeline, component: str) -> tuple[float, float]:
        """Return A14B's share of σ: the high-noise expert's from the boundary up, the other's below."""
        ratio = pipe.config.get("boundary_ratio")
        if ratio is None:
            return 0.0, 1.0
        return (ratio, 1.0) if component == "transformer" else (0.0, ratio)

    def normalise(self, vae: Autoencoder, z: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
        """Compute (z − mean) / std with the autoencoder's channel statistics."""
        mean, std = channel_statistics(vae, z)
        return (z - mean) / std

    def denormalise(self, vae: Autoencoder, z: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
        """Compute z · std + mean with the autoencoder's channel statistics."""
        mean, std = channel_statistics(vae, z)
        return z * std + mean

    @torch.no_grad()
    def encode_posterior(
        self, pipe: Pipeline, video: Float[Tensor, "b 3 t h w"]
    ) -> tuple[Float[Tensor, "b c f hl wl"], Float[Tensor, "b c f hl wl"]]:
        """Encode as the other families do; the stock class reads 4k + 1 frames for every factor of compression.

        Without temporal compression any number of frames is a clip: the last frame is repeated up to 4k + 1, and
        the latents of the repeats, which no earlier latent depends on, are dropped.
        """
        temporal, num_frames = pipe.vae_scale_factor_temporal, video.shape[2]
        num_more = -(num_frames - 1) % 4 if temporal == 1 else 0
        if num_more:
            video = torch.cat([video, video[:, :, -1:].expand(-1, -1, num_more, -1, -1)], dim=2)
        mean, std = super().encode_posterior(pipe, video)
        return (mean[:, :, :num_frames], std[:, :, :num_frames]) if num_more else (mean, std)

    def latent_shape(
        self, pipe: Pipeline, num_frames: int, height: int, width: int
    ) -> tuple[int, int, int, int]:
        """Return (C, F, H, W) as the other families do; refuse more tokens than the class has rotary positions for."""
        shape = super().latent_shape(pipe, num_frames, height, width)
        config, sizes = self.first_transformer(pipe).config, (num_frames, height, width)
        limit, names = config.rope_max_seq_len, ("num_frames", "height", "width")
        temporal, spatial = self.compression(pipe)
        for name, size, length, patch in zip(names, sizes, shape[1:], config.patch_size, strict=True):
            if length // patch > limit:
                is_time = name == "num_frames"
                largest = temporal * (limit * patch - 1) + 1 if is_time else spatial * limit * patch
                raise VideoJamError(
                    expected=f"at most {limit} positions of the transformer along each axis",
                    found=f"{name} = {size}, which takes {length // patch}",
                    where=name,
                    fix=f"Use {largest} at most.",
                )
        return shape

    def smallest_clip(self, pipe: Pipeline) -> tuple[int, int, int]:
        """Return two latent frames of one token; 16 px is the stock pipeline's own check."""
        _, patch_height, patch_width = self.first_transformer(pipe).config.patch_size
        spatial = pipe.vae_scale_factor_spatial
        sizes = math.lcm(16, spatial * patch_height), math.lcm(16, spatial * patch_width)
        return pipe.vae_scale_factor_temporal + 1, *sizes

    @torch.no_grad()
    def encode_image(
        self,
        pipe: Pipeline,
        video: Float[Tensor, "b 3 t h w"],
        generators: list[torch.Generator] | None = None,
    ) -> Conditioning:
        """Encode first frames with the stock code, by the posterior's mode.

        TI2V-5B: `first_latent`; I2V: `condition` = [mask, latent], and CLIP's states if used.
        """
        self._refuse_image(pipe)
        if not self.takes_image(pipe):
            return {}
        first, num_frames = video[:, :, 0].to(pipe.vae.device), video.shape[2]
        size = {"height": video.shape[3], "width": video.shape[4], "num_frames": num_frames}
        rows = [
            pipe.prepare_latents(
                frame[None], 1, pipe.vae.config.z_dim, dtype=torch.float32, device=first.device, **size
            )[1]
            for frame in first
        ]
        if self.per_token_timestep:
            return {FIRST: torch.cat(rows)}
        cond = {"condition": torch.cat(rows)}
        if pipe.transformer is not None and pipe.transformer.config.image_dim is not None:
            cond["encoder_hidden_states_image"] = pipe.encode_image(list(pixels_of(first).cpu()))
        return cond

    def image_shapes(self, config: Config, latent: tuple[int, int, int, int]) -> dict[str, tuple[int, ...]]:
        """Return those of `encode_image`."""
        channels, frames, *size = latent
        if self.per_token_timestep:
            return {FIRST: (channels, 1, *size)}
        shapes: dict[str, tuple[int, ...]] = {
            "condition": (config["in_channels"] - config["out_channels"], frames, *size)
        }
        if config.get("image_dim") is not None:
            shapes["encoder_hidden_states_image"] = (257, config["image_dim"])  # CLIP's tokens
        return shapes

    def denoise(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> Tensor:
        """Call WanTransformer3DModel at timestep 1000σ; returns ε − x (and ε − d)."""
        cond, hidden, num_given = dict(cond), xd_sigma, self.num_given_frames(cond)
        if "condition" in cond:
            hidden = torch.cat([hidden, cond.pop("condition").to(hidden)], dim=1)
        if num_given:
            hidden = with_first_frame(hidden, cond.pop(FIRST))
        timestep = sigma * self.num_train_timesteps
        if self.per_token_timestep:
            patch = transformer.config.patch_size
            num_frames, *sides = (size // p for size, p in zip(hidden.shape[2:], patch, strict=True))
            timestep = token_times(timestep, num_frames, math.prod(sides), num_given)
        dtype = transformer.dtype
        return transformer(
            hidden_states=hidden.to(dtype),
            timestep=timestep,
            return_dict=False,
            **{name: tensor.to(dtype) for name, tensor in cond.items()},
        )[0]


@contextmanager
def _condition_of_both_halves(pipe: Pipeline) -> Iterator[None]:
    """Let the pipeline's condition of C channels be followed by null motion for a while."""
    stock = pipe.prepare_latents

    def prepare(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
        latents, condition, mask = stock(*args, **kwargs)
        return latents, torch.cat([condition, torch.zeros_like(condition)], dim=1), mask

    pipe.prepare_latents = prepare
    try:
        yield
    finally:
        del pipe.prepare_latents
