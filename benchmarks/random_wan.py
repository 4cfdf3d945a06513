"""Random Wan pipelines of stock classes, in the hub's folder layout, for the benchmarks of training and of encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

SMALL_TEXT: dict[str, Any] = {
    "vocab_size": 256,
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 2,
    "num_heads": 4,
}
SMALL_AUTOENCODER: dict[str, Any] = {"base_dim": 8, "z_dim": 16, "num_res_blocks": 1}


def tiny_tokenizer() -> Any:
    """Return a tokenizer of one word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>"])}
    tokens = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def write_random_wan(
    folder: Path,
    num_heads: int,
    head_dim: int,
    ffn_dim: int,
    num_layers: int,
    *,
    text: dict[str, Any] = SMALL_TEXT,
    text_dtype: torch.dtype = torch.float32,
    autoencoder: dict[str, Any] = SMALL_AUTOENCODER,
) -> None:
    """Write a Wan of 16 latent channels with a random transformer of a size, and random encoders, tiny by default."""
    from diffusers import (
        AutoencoderKLWan,
        FlowMatchEulerDiscreteScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        num_attention_heads=num_heads, attention_head_dim=head_dim, ffn_dim=ffn_dim, num_layers=num_layers,
        in_channels=16, out_channels=16, text_dim=text["d_model"],
    )  # fmt: skip
    encoder: Any = UMT5EncoderModel(UMT5Config(**text))
    pipe: Any = WanPipeline(
        tokenizer=tiny_tokenizer(),
        text_encoder=encoder.to(text_dtype),
        vae=AutoencoderKLWan(**autoencoder),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
    pipe.save_pretrained(folder)
