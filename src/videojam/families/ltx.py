"""LTX-Video: flow matching on packed latents `[B, S, C]`, with x and d packed alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from videojam.families.base import Conditioning, Family, Generators, call_default
from videojam.families.projections import Layout


@dataclass(frozen=True)
class LTXFamily(Family):
    """x_σ = (1−σ)x + σε, prediction ε − x, timestep 1000σ; latents (z−mean)·scaling/std a channel.

    The rotary positions are in seconds and pixels, so the network is told the clip's frame rate: `fps`, which
    is the stock call's 25, in training and in sampling.

    Attributes:
        factors: Frames and pixels that one latent covers, of the pipeline's autoencoder.
    """

    transformer_class: str = "LTXVideoTransformer3DModel"
    input_projection: str = "proj_in"
    output_projection: str = "proj_out"
    output_layout: Layout = "c_outer"
    checkpoints: str = "LTX-Video 0.9 to 0.9.8 (2B, 13B)"
    channel_dim: int = 2
    batched_cfg: bool = True
    size_unit: int = 32
    fps: float = 25.0
    factors: tuple[int, int] = (8, 32)

    def for_pipeline(self, pipe: Any) -> LTXFamily:
        """Take the autoencoder's factors."""
        return replace(self, factors=self.compression(pipe))

    def num_positions(self, config: dict[str, Any]) -> int:
        """Return 1: the config's channels count a whole patch."""
        return 1

    # --- latents ---

    def normalise(self, vae: Any, z: Tensor) -> Tensor:
        """Compute (z − mean) · scaling_factor / std with the pipeline's own function."""
        from diffusers import LTXPipeline

        scaling = vae.config.scaling_factor
        return LTXPipeline._normalize_latents(z, vae.latents_mean, vae.latents_std, scaling)

    def denormalise(self, vae: Any, z: Tensor) -> Tensor:
        """Compute z · std / scaling_factor + mean with the pipeline's own function."""
        from diffusers import LTXPipeline

        scaling = vae.config.scaling_factor
        return LTXPipeline._denormalize_latents(z, vae.latents_mean, vae.latents_std, scaling)

    def compression(self, pipe: Any) -> tuple[int, int]:
        """Return the pipeline's own factors."""
        return pipe.vae_temporal_compression_ratio, pipe.vae_spatial_compression_ratio

    @torch.no_grad()
    def decode_video(
        self, pipe: Any, z: Float[Tensor, "b c f hl wl"], num_frames: int | None = None
    ) -> Float[Tensor, "b 3 t h w"]:
        """Decode latents; autoencoders that denoise while decoding are told the stock call's time, 0."""
        vae = pipe.vae
        z = self.denormalise(vae, z.float()).to(vae.dtype)
        time = None
        if vae.config.timestep_conditioning:
            time = torch.full(
                (len(z),), call_default(pipe, "decode_timestep"), device=z.device, dtype=z.dtype
            )
        return vae.decode(z, time, return_dict=False)[0].float().clamp(-1, 1)

    # --- text ---

    @torch.no_grad()
    def encode_prompts(
        self, pipe: Any, prompts: list[str], max_sequence_length: int | None = None
    ) -> Conditioning:
        """Encode prompts to `encoder_hidden_states [N, L, D]` and `encoder_attention_mask [N, L]`."""
        embeds, mask, _, _ = pipe.encode_prompt(
            prompt=list(prompts),
            do_classifier_free_guidance=False,
            max_sequence_length=max_sequence_length or self.default_sequence_length(pipe),
        )
        return {"encoder_hidden_states": embeds, "encoder_attention_mask": mask}

    # --- network ---

    def pack(self, transformer: Any, latents: Tensor) -> Tensor:
        """Return `[B, C, F, H, W]` as `[B, S, C·P]` by the pipeline's own function; d's columns follow x's."""
        from diffusers import LTXPipeline

        config = transformer.config
        return LTXPipeline._pack_latents(latents, config.patch_size, config.patch_size_t)

    def unpack(self, transformer: Any, hidden: Tensor, like: Tensor) -> Tensor:
        """Invert `pack`."""
        from diffusers import LTXPipeline

        _, _, frames, height, width = like.shape
        p, p_t = transformer.config.patch_size, transformer.config.patch_size_t
        return LTXPipeline._unpack_latents(hidden, frames // p_t, height // p, width // p, p, p_t)

    def denoise(
        self, transformer: Any, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> Tensor:
        """Call LTXVideoTransformer3DModel on packed latents at timestep 1000σ; returns ε − x (and ε − d)."""
        temporal, spatial = self.factors
        dtype = transformer.dtype
        _, _, frames, height, width = xd_sigma.shape
        prediction = transformer(
            hidden_states=self.pack(transformer, xd_sigma.to(dtype)),
            encoder_hidden_states=cond["encoder_hidden_states"].to(dtype),
            timestep=sigma * self.num_train_timesteps,
            encoder_attention_mask=cond["encoder_attention_mask"],
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(temporal / self.fps, spatial, spatial),
            return_dict=False,
        )[0]
        return self.unpack(transformer, prediction, xd_sigma)

    def set_timesteps(self, pipe: Any, num_steps: int, latents: Tensor) -> None:
        """Set σ from 1 to 1/steps, shifted by the number of tokens."""
        from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift

        config = pipe.scheduler.config
        names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        values = (
            config.get(name, default) for name, default in zip(names, (256, 4096, 0.5, 1.15), strict=True)
        )
        mu = calculate_shift(latents[0, 0].numel(), *values)
        sigmas = np.linspace(1.0, 1 / num_steps, num_steps)
        pipe.scheduler.set_timesteps(sigmas=sigmas, mu=mu, device=latents.device)

    def run_pipeline(self, pipe: Any, latents: Tensor, generators: Generators, **arguments: Any) -> Tensor:
        """Call the stock pipeline at the family's frame rate."""
        return super().run_pipeline(pipe, latents, generators, frame_rate=self.fps, **arguments)
