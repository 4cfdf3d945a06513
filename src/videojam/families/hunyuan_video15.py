"""HunyuanVideo 1.5: flow matching; its pipeline guides by a guider, and its input carries an image condition."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from videojam.families.base import Family
from videojam.families.denoising import Conditioning, Generators
from videojam.families.projections import Layout
from videojam.families.stock import Config, Pipeline, Transformer

TOKENS_2 = 256
"""Of the second text encoder, by the stock pipeline."""


@dataclass(frozen=True)
class HunyuanVideo15Family(Family):
    """x_σ = (1−σ)x + σε, prediction ε − x, timestep 1000σ; latents z·scaling_factor.

    The base's input is `[x, image condition, mask]`, and the stock pipeline builds the condition (zeros for
    text-to-video) with the shape of the latents it is given. So the joint input is `[x, d, condition of x,
    condition of d, mask]`, 4C + 1 channels with zero columns for both motion blocks.
    """

    transformer_class: str = "HunyuanVideo15Transformer3DModel"
    input_projection: str = "x_embedder.proj"
    output_projection: str = "proj_out"
    output_layout: Layout = "c_outer"
    checkpoints: str = "HunyuanVideo 1.5 480p and 720p (text-to-video)"
    doubled_blocks: int = 2
    pass_names: tuple[str, str] = ("pred_cond", "pred_uncond")
    fps: float = 24.0

    # --- latents ---

    @torch.no_grad()
    def encode_posterior(
        self, pipe: Pipeline, video: Float[Tensor, "b 3 t h w"]
    ) -> tuple[Float[Tensor, "b c f hl wl"], Float[Tensor, "b c f hl wl"]]:
        """Encode a video clip by clip: the stock autoencoder's attention mask fits only a batch of one."""
        means, stds = zip(*(Family.encode_posterior(self, pipe, clip[None]) for clip in video), strict=True)
        return torch.cat(means), torch.cat(stds)

    # --- text ---

    @torch.no_grad()
    def encode_prompts(
        self, pipe: Pipeline, prompts: list[str], max_sequence_length: int | None = None
    ) -> Conditioning:
        """Encode prompts to the states and masks of both text encoders; the second reads only quoted text."""
        names = (
            "encoder_hidden_states",
            "encoder_attention_mask",
            "encoder_hidden_states_2",
            "encoder_attention_mask_2",
        )
        with _text_length(pipe, max_sequence_length):
            return dict(
                zip(names, pipe.encode_prompt(prompt=list(prompts), batch_size=len(prompts)), strict=True)
            )

    def text_shapes(self, config: Config, length: int) -> dict[str, tuple[int, ...]]:
        """Return those of the states and masks of both text encoders; the second has the pipeline's own length."""
        return super().text_shapes(config, length) | {
            "encoder_attention_mask": (length,),
            "encoder_hidden_states_2": (TOKENS_2, config["text_embed_2_dim"]),
            "encoder_attention_mask_2": (TOKENS_2,),
        }

    def default_sequence_length(self, pipe: Pipeline) -> int:
        """Return the pipeline's own length; its call has no argument for it."""
        return int(pipe.tokenizer_max_length)

    def default(self, pipe: Pipeline, name: str) -> Any:
        """Return the size nearest to 16:9 of the checkpoint's resolution where the call names none."""
        value = super().default(pipe, name)
        if value is None and name in ("height", "width"):
            wide, high = pipe.default_aspect_ratio
            size = pipe.video_processor.calculate_default_height_width(high, wide, pipe.target_size)
            return size[name == "width"]
        return value

    # --- network ---

    def denoise(
        self, transformer: Transformer, xd_sigma: Tensor, sigma: Float[Tensor, " b"], cond: Conditioning
    ) -> Tensor:
        """Call HunyuanVideo15Transformer3DModel without an image at timestep 1000σ; returns ε − x (and ε − d)."""
        dtype, config = transformer.dtype, transformer.config
        hidden = xd_sigma.to(dtype)
        # condition and mask, in all that follows the latents
        no_image = hidden.new_zeros(len(hidden), config.in_channels - hidden.shape[1], *hidden.shape[2:])
        return transformer(
            hidden_states=torch.cat([hidden, no_image], dim=1),
            # as many tokens as the stock pipeline's, all zero, which the network masks
            image_embeds=hidden.new_zeros(len(hidden), 729, config.image_embed_dim),
            timestep=(sigma * self.num_train_timesteps).to(dtype),
            return_dict=False,
            **{name: tensor.to(dtype) for name, tensor in cond.items()},
        )[0]

    # --- sampling ---

    def set_timesteps(self, pipe: Pipeline, num_steps: int, latents: Tensor) -> None:
        """Set σ from 1 down in equal parts of 1/steps."""
        sigmas = np.linspace(1.0, 0.0, num_steps + 1)[:-1]
        pipe.scheduler.set_timesteps(sigmas=sigmas, device=latents.device)

    def run_pipeline(
        self, pipe: Pipeline, latents: Tensor, generators: Generators, **arguments: Any
    ) -> Tensor:
        """Call the stock pipeline with a plain CFG guider of the asked scale in place of its own."""
        own = pipe.guider
        pipe.guider = _plain_guider(own, arguments.pop("guidance_scale"))
        try:
            with _text_length(pipe, arguments.pop("max_sequence_length")):
                return super().run_pipeline(pipe, latents, generators, **arguments)
        finally:
            pipe.guider = own


@contextmanager
def _text_length(pipe: Pipeline, length: int | None) -> Iterator[None]:
    """Let the pipeline pad text to a length for a while; it is an attribute, not an argument."""
    own = pipe.tokenizer_max_length
    pipe.tokenizer_max_length = length or own
    try:
        yield
    finally:
        pipe.tokenizer_max_length = own


def _plain_guider(own: Any, scale: float) -> Any:
    """Return CFG over all steps, u∅ + scale·(u − u∅), without rescaling."""
    from diffusers import ClassifierFreeGuidance

    if not isinstance(own, ClassifierFreeGuidance):
        return ClassifierFreeGuidance(guidance_scale=scale)
    guider: Any = copy(own)  # a new one would warn at each run that guiders are experimental
    guider.guidance_scale, guider.guidance_rescale, guider.use_original_formulation = scale, 0.0, False
    guider._start, guider._stop = 0.0, 1.0
    return guider
