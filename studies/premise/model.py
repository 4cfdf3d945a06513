"""The study's transformer: a stock class at a tiny size, started so that each block is nearly the identity."""

from __future__ import annotations

from typing import cast

import torch
from diffusers.models import WanTransformer3DModel
from torch import Tensor

from studies.premise.config import ModelConfig
from videojam.families.stock import Transformer

NUM_CHANNELS = 3


def make_base(config: ModelConfig, seed: int) -> WanTransformer3DModel:
    """Build the base with weights of a seed; modulation and output start at zero (Peebles and Xie 2023)."""
    width = config.num_heads * config.head_dim
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WanTransformer3DModel(
            patch_size=(1, config.patch_px, config.patch_px),
            num_attention_heads=config.num_heads,
            attention_head_dim=config.head_dim,
            in_channels=NUM_CHANNELS,
            out_channels=NUM_CHANNELS,
            text_dim=config.text_dim,
            freq_dim=128,
            ffn_dim=4 * width,
            num_layers=config.num_layers,
            rope_max_seq_len=64,
        )
    zeroed = [model.condition_embedder.time_proj, model.proj_out]
    zeroed += [block.attn2.to_out[0] for block in model.blocks]
    with torch.no_grad():
        for layer in zeroed:
            layer.weight.zero_()
            layer.bias.zero_()
        for block in model.blocks:
            block.scale_shift_table.zero_()
    return model


def predict(model: torch.nn.Module, latents: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
    """Return the velocity ε − x (and ε − d) in the convention of the class: time is 1000σ.

    Args:
        model: Base or joint.
        latents: Noised x, or [x, d], or [x, d, t_d], `[B, C or 2C or 2C+1, F, H, W]`.
        sigma: `[B]`, 1 − t.
        text: Word vectors, `[B, L, D]`.
    """
    return model(latents, timestep=1000 * sigma, encoder_hidden_states=text, return_dict=False)[0]


def is_joint(model: torch.nn.Module) -> bool:
    """Whether a model predicts motion too."""
    return cast(Transformer, model).config.out_channels == 2 * NUM_CHANNELS


def has_own_noise(model: torch.nn.Module) -> bool:
    """Whether a joint model's motion has a noise level of its own."""
    return cast(Transformer, model).config.in_channels == 2 * NUM_CHANNELS + 1
