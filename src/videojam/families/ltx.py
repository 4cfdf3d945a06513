"""LTX-Video: flow matching on packed latents `[B, S, C]`, with x and d packed alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from videojam.families.base import Family
from videojam.families.denoising import Conditioning, Generators
from videojam.families.first_frame import (
    FIRST,
    restarted,
    seeded,
    skip_image_noise,
    token_times,
    video_of_image,
    with_first_frame,
)
from videojam.families.pipeline_adapter import call_default
from videojam.families.projections import Layout
from videojam.families.stock import Autoencoder, Config, Pipeline, Transformer

ORIGINAL_NAMES = (
    (r"^proj_in\.", "patchify_proj."),
    (r"^time_embed\.", "adaln_single."),
    (r"\.norm_([qk])\.", r".\1_norm."),
    (r"^", "model.diffusion_model."),
)
"""From the names of diffusers to those of Lightricks' checkpoints, which ComfyUI reads too."""


@dataclass(frozen=True)
class LTXFamily(Family):
    """x_σ = (1−σ)x + σε, prediction ε − x, timestep 1000σ; latents (z−mean)·scaling/std a channel.

    The rotary positions are in seconds and pixels, so the network gets the clip's frame rate: `fps`, which
    is the stock call's 25, in training and in sampling. With an image, its latent is x's first frame, whose tokens
    have timestep 0; d is null there, and outside the loss.

    Attributes:
        factors: Frames and pixels that one latent covers, of the pipeline's autoencoder.
        image_is_sampled: Whether the stock call samples an image's latent before it draws noise.
    """

    transformer_class: str = "LTXVideoTransformer3DModel"
    input_projection: str = "proj_in"
    output_projection: str = "proj_out"
    text_key: str = "caption_channels"
    output_layout: Layout = "c_outer"
    checkpoints: str = "LTX-Video 0.9 to 0.9.8 (2B, 13B)"
    image_pipelines: tuple[str, ...] = ("LTXImageToVideoPipeline",)
    original_names: tuple[tuple[str, str], ...] = ORIGINAL_NAMES
    channel_dim: int = 2
    batched_cfg: bool = True
    size_unit: int = 32
    fps: float = 25.0
    factors: tuple[int, int] = (8, 32)
    image_is_sampled: bool = False

    def for_pipeline(self, pipe: Pipeline) -> LTXFamily:
        """Take the autoencoder's factors."""
        return replace(self, factors=self.compression(pipe), image_is_sampled=self.takes_image(pipe))

    def image_pipeline(self, pipe: Pipeline) -> Pipeline | None:
        """Return the image-to-video pipeline: the same transformer serves both."""
        from diffusers import LTXImageToVideoPipeline

        return cast(Pipeline, LTXImageToVideoPipeline(**pipe.components))

    def num_positions(self, config: Config) -> int:
        """Return 1: the config's channels count a whole patch."""
        return 1

    def original_config(self, config: Config) -> dict[str, Any]:
        """Return the config, whose keys are those of the original code."""
        return {key: value for key, value in config.items() if not key.startswith("_")}

    # --- latents ---

    def normalise(self, vae: Autoencoder, z: Tensor) -> Tensor:
        """Compute (z − mean) · scaling_factor / std with the pipeline's own function."""
        from diffusers import LTXPipeline

        scaling = vae.config.scaling_factor
        return LTXPipeline._normalize_latents(z, vae.latents_mean, vae.latents_std, scaling)

    def denormalise(self, vae: Autoencoder, z: Tensor) -> Tensor:
        """Compute z · std / scaling_factor + mean with the pipeline's own function."""
        from diffusers import LTXPipeline

        scaling = vae.config.scaling_factor
        return LTXPipeline._denormalize_latents(z, vae.latents_mean, vae.latents_std, scaling)

    def compression(self, pipe: Pipeline) -> tuple[int, int]:
        """Return the pipeline's own factors."""
        return pipe.vae_temporal_compression_ratio, pipe.vae_spatial_compression_ratio

    def draw_noise(self, shape: tuple[int, ...], generators: list[torch.Generator]) -> Tensor:
        """Draw noise `[B, C, F, H, W]`, after the image's latent where the stock call samples that first."""
        if self.image_is_sampled:
            skip_image_noise(generators, shape)
        return super().draw_noise(shape, generators)

    @torch.no_grad()
    def decode_video(
        self, pipe: Pipeline, z: Float[Tensor, "b c f hl wl"], num_frames: int | None = None
    ) -> Float[Tensor, "b 3 t h w"]:
        """Decode latents; autoencoders that denoise while decoding get the stock call's time, 0."""
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
        self, pipe: Pipeline, prompts: list[str], max_sequence_length: int | None = None
    ) -> Conditioning:
        """Encode prompts to `encoder_hidden_states [N, L, D]` and `encoder_attention_mask [N, L]`."""
        embeds, mask, _, _ = pipe.encode_prompt(
            prompt=list(prompts),
            do_classifier_free_guidance=False,
            max_sequence_length=max_sequence_length or self.default_sequence_length(pipe),
        )
        return {"encoder_hidden_states": embeds, "encoder_attention_mask": mask}

    @torch.no_grad()
    def encode_image(
        self,
        pipe: Pipeline,
        video: Float[Tensor, "b 3 t h w"],
        generators: list[torch.Generator] | None = None,
    ) -> Conditioning:
        """Encode first frames with the stock code to `first_latent`, sampled with the generators."""
        self._refuse_image(pipe)
        if not self.takes_image(pipe):
            return {}
        num_clips, _, _, height, width = video.shape
        frames = video[:, :, 0].to(pipe._execution_device, pipe.vae.dtype)
        shape = self.latent_shape(pipe, 1, height, width)
        size, like = (height, width, 1), (torch.float32, frames.device)
        generators = seeded(generators, num_clips)
        packed, _ = pipe.prepare_latents(frames, num_clips, shape[0], *size, *like, generators)
        return {FIRST: self.unpack(pipe.transformer, packed, torch.empty(num_clips, *shape))}

    def text_shapes(self, config: Config, length: int) -> dict[str, tuple[int, ...]]:
        """Return those of the states and their mask."""
        return super().text_shapes(config, length) | {"encoder_attention_mask": (length,)}

    def image_shapes(self, config: Config, latent: tuple[int, int, int, int]) -> dict[str, tuple[int, ...]]:
        """Return that of `first_latent`."""
        return {FIRST: (latent[0], 1, *latent[2:])}

    # --- network ---

    def pack(self, transformer: Transformer, latents: Tensor) -> Tensor:
        """Return `[B, C, F, H, W]` as `[B, S, C·P]` by the pipeline's own function; d's columns follow x's."""
        from diffusers import LTXPipeline

        config = transformer.config
        return LTXPipeline._pack_latents(latents, config.patch_size, config.patch_size_t)

    def unpack(self, transformer: Transformer, hidden: Tensor, like: Tensor) -> Tensor:
        """Invert `pack`."""
        from diffusers import LTXPipeline

        _, _, frames, height, width = like.shape
        p, p_t = transformer.config.patch_size, transformer.config.patch_size_t
        return LTXPipeline._unpack_latents(hidden, frames // p_t, height // p, width // p, p, p_t)

    def denoise(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> Tensor:
        """Call LTXVideoTransformer3DModel on packed latents at timestep 1000σ; returns ε − x (and ε − d)."""
        temporal, spatial = self.factors
        dtype, num_given = transformer.dtype, self.num_given_frames(cond)
        _, _, frames, height, width = xd_sigma.shape
        timestep = sigma * self.num_train_timesteps
        if num_given:
            xd_sigma = with_first_frame(xd_sigma, cond[FIRST])
            timestep = token_times(timestep, frames, height * width, num_given)
        prediction = transformer(
            hidden_states=self.pack(transformer, xd_sigma.to(dtype)),
            encoder_hidden_states=cond["encoder_hidden_states"].to(dtype),
            timestep=timestep,
            encoder_attention_mask=cond["encoder_attention_mask"],
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(temporal / self.fps, spatial, spatial),
            return_dict=False,
        )[0]
        return self.unpack(transformer, prediction, xd_sigma)

    def set_timesteps(self, pipe: Pipeline, num_steps: int, latents: Tensor) -> None:
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

    def run_pipeline(
        self, pipe: Pipeline, latents: Tensor, generators: Generators, **arguments: Any
    ) -> Tensor:
        """Call the stock pipeline at the family's frame rate; with an image, on latents that hold it already."""
        if arguments.get("image") is not None:
            frames, height, width = (arguments[name] for name in ("num_frames", "height", "width"))
            still = video_of_image(pipe, arguments["image"], len(latents), frames, height, width)
            first = self.encode_image(pipe, still, restarted(generators[0]))[FIRST]
            latents = with_first_frame(latents, first)
        return super().run_pipeline(pipe, latents, generators, frame_rate=self.fps, **arguments)
