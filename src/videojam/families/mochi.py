"""Mochi: flow matching with inverted time; the network reads 1000·t and predicts the paper's velocity x − ε."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.families.base import Family
from videojam.families.denoising import Conditioning
from videojam.families.latent_codec import channel_statistics
from videojam.families.projections import Layout
from videojam.families.stock import Autoencoder, Config, Pipeline, Scheduler, Transformer


@dataclass(frozen=True)
class MochiFamily(Family):
    """x_σ = (1−σ)x + σε, prediction x − ε, timestep 1000(1−σ); latents (z−mean)·scaling/std a channel."""

    transformer_class: str = "MochiTransformer3DModel"
    input_projection: str = "patch_embed.proj"
    output_projection: str = "proj_out"
    output_layout: Layout = "c_inner"
    checkpoints: str = "Mochi 1 preview"
    prediction: str = "flow, x − ε, inverted time"
    batched_cfg: bool = True
    fps: float = 30.0

    # --- latents ---

    def normalise(self, vae: Autoencoder, z: Tensor) -> Tensor:
        """Compute (z − mean) · scaling_factor / std."""
        mean, std = channel_statistics(vae, z)
        return (z - mean) * vae.config.scaling_factor / std

    def denormalise(self, vae: Autoencoder, z: Tensor) -> Tensor:
        """Compute z · std / scaling_factor + mean."""
        mean, std = channel_statistics(vae, z)
        return z * std / vae.config.scaling_factor + mean

    def compression(self, pipe: Pipeline) -> tuple[int, int]:
        """Return the pipeline's own factors: 6 frames, 8 px."""
        return pipe.vae_temporal_scale_factor, pipe.vae_spatial_scale_factor

    # --- text ---

    @torch.no_grad()
    def encode_prompts(
        self, pipe: Pipeline, prompts: list[str], max_sequence_length: int | None = None
    ) -> Conditioning:
        """Encode prompts to `encoder_hidden_states [N, L, D]` and `encoder_attention_mask [N, L]`, one by one.

        With `force_zeros_for_empty_prompt` the stock code nulls a whole batch if its last prompt is empty.
        """
        rows = [
            pipe.encode_prompt(
                prompt=[prompt],
                do_classifier_free_guidance=False,
                max_sequence_length=max_sequence_length or self.default_sequence_length(pipe),
            )[:2]
            for prompt in prompts
        ]
        embeds, masks = zip(*rows, strict=True)
        return {"encoder_hidden_states": torch.cat(embeds), "encoder_attention_mask": torch.cat(masks)}

    def text_shapes(self, config: Config, length: int) -> dict[str, tuple[int, ...]]:
        """Return those of the states and their mask."""
        return super().text_shapes(config, length) | {"encoder_attention_mask": (length,)}

    # --- time, target, network ---

    def target(self, x: Tensor, eps: Tensor, sigma: Float[Tensor, " b"]) -> Tensor:
        """Return the paper's velocity, x − ε."""
        return x - eps

    def denoise(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> Tensor:
        """Call MochiTransformer3DModel at timestep 1000(1−σ); returns x − ε (and d − ε)."""
        dtype = transformer.dtype
        return transformer(
            hidden_states=xd_sigma.to(dtype),
            encoder_hidden_states=cond["encoder_hidden_states"].to(dtype),
            timestep=(1 - sigma) * self.num_train_timesteps,
            encoder_attention_mask=cond["encoder_attention_mask"].bool(),
            return_dict=False,
        )[0]

    def paper_times(self, scheduler: Scheduler) -> Float[Tensor, " steps"]:
        """Return the scheduler's σ, which is inverted: the paper's t."""
        return scheduler.sigmas[: len(scheduler.timesteps)].float().cpu()

    def sigma_of(self, timestep: Tensor) -> Tensor:
        """Return 1 − timestep / 1000."""
        return 1 - timestep / self.num_train_timesteps

    def set_timesteps(self, pipe: Pipeline, num_steps: int, latents: Tensor) -> None:
        """Set the linear-quadratic schedule that the stock pipeline passes."""
        from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule

        sigmas = linear_quadratic_schedule(num_steps, 0.025)
        pipe.scheduler.set_timesteps(sigmas=sigmas, device=latents.device)

    # --- the stock pipeline ---

    def default(self, pipe: Pipeline, name: str) -> Any:
        """Return the pipeline's own size where the call names none."""
        value = super().default(pipe, name)
        if value is None and name in ("height", "width"):
            return getattr(pipe, f"default_{name}")
        return value
