"""HunyuanVideo: flow matching, guidance-distilled; real text guidance is the stock pipeline's true CFG."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from videojam.families.base import Family
from videojam.families.denoising import Conditioning, Generators
from videojam.families.projections import Layout
from videojam.families.stock import Config, Pipeline, Transformer


@dataclass(frozen=True)
class HunyuanVideoFamily(Family):
    """x_σ = (1−σ)x + σε, prediction ε − x, timestep 1000σ; latents z·scaling_factor.

    The network reads a guidance scale, as if it had been guided by text already. Training passes 1: the data
    is what an unguided prediction must match, and at 6 training would undo the distillation. Sampling passes
    6, the stock call's, so that w1 is 0 unless asked for; w1 > 0 is true CFG over that.

    Attributes:
        embedded_guidance: Scale that `denoise` passes to the network.
        sampling_guidance: Scale that sampling passes.
    """

    transformer_class: str = "HunyuanVideoTransformer3DModel"
    input_projection: str = "x_embedder.proj"
    output_projection: str = "proj_out"
    output_layout: Layout = "c_outer"
    checkpoints: str = "HunyuanVideo (text-to-video, guidance-distilled)"
    default_w_text: float | None = 0.0
    keeps_scale: bool = False  # its guidance scale is the embedded one
    fps: float = 24.0
    embedded_guidance: float = 1.0
    sampling_guidance: float = 6.0

    # --- text ---

    @torch.no_grad()
    def encode_prompts(
        self, pipe: Pipeline, prompts: list[str], max_sequence_length: int | None = None
    ) -> Conditioning:
        """Encode prompts to `encoder_hidden_states`, its mask, and `pooled_projections` of the second encoder."""
        embeds, pooled, mask = pipe.encode_prompt(
            prompt=list(prompts),
            max_sequence_length=max_sequence_length or self.default_sequence_length(pipe),
        )
        return {
            "encoder_hidden_states": embeds,
            "encoder_attention_mask": mask,
            "pooled_projections": pooled,
        }

    def text_shapes(self, config: Config, length: int) -> dict[str, tuple[int, ...]]:
        """Return those of the states, their mask, and the pooled text."""
        more = {"encoder_attention_mask": (length,), "pooled_projections": (config["pooled_projection_dim"],)}
        return super().text_shapes(config, length) | more

    # --- network ---

    def denoise(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> Tensor:
        """Call HunyuanVideoTransformer3DModel at timestep 1000σ; returns ε − x (and ε − d)."""
        dtype = transformer.dtype
        guidance = torch.full((len(xd_sigma),), 1000 * self.embedded_guidance, device=xd_sigma.device)
        return transformer(
            hidden_states=xd_sigma.to(dtype),
            timestep=sigma * self.num_train_timesteps,
            guidance=guidance.to(dtype),
            return_dict=False,
            **{name: tensor.to(dtype) for name, tensor in cond.items()},
        )[0]

    # --- sampling ---

    def for_sampling(self) -> HunyuanVideoFamily:
        """Return the family that passes the sampling scale to the network."""
        return replace(self, embedded_guidance=self.sampling_guidance)

    def set_timesteps(self, pipe: Pipeline, num_steps: int, latents: Tensor) -> None:
        """Set σ from 1 down in equal parts of 1/steps."""
        sigmas = np.linspace(1.0, 0.0, num_steps + 1)[:-1]
        pipe.scheduler.set_timesteps(sigmas=sigmas, device=latents.device)

    def run_pipeline(
        self, pipe: Pipeline, latents: Tensor, generators: Generators, **arguments: Any
    ) -> Tensor:
        """Call the stock pipeline; `guidance_scale` becomes its true CFG, which needs a negative prompt."""
        scale = arguments.pop("guidance_scale")
        if arguments.get("negative_prompt") is None:
            arguments["negative_prompt"] = [""] * len(latents)
        scales = {"true_cfg_scale": scale, "guidance_scale": self.sampling_guidance}
        return super().run_pipeline(pipe, latents, generators, **arguments, **scales)
