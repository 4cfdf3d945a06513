"""Tiny random pipelines of stock classes, written in the hub's folder layout."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

WORDS = [
    "a",
    "the",
    "red",
    "blue",
    "green",
    "ball",
    "walker",
    "wheel",
    "moves",
    "left",
    "right",
    "over",
    "fast",
]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def tiny_text_encoder(width: int = 16) -> UMT5EncoderModel:
    config = UMT5Config(vocab_size=len(WORDS) + 3, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return UMT5EncoderModel(config).eval()


def tiny_vae() -> AutoencoderKLWan:
    return AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[1.5, 0.7, 1.0, 2.0],
    ).eval()


def tiny_transformer(
    in_channels: int = 4, patch: tuple[int, int, int] = (1, 2, 2), **config: object
) -> WanTransformer3DModel:
    return WanTransformer3DModel(
        patch_size=patch,
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=in_channels,
        out_channels=4,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
        **config,
    ).eval()


def tiny_clip_vision() -> dict[str, object]:
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    return {"image_encoder": CLIPVisionModel(config).eval(), "image_processor": processor}


def write_tiny_wan(
    folder: Path,
    *,
    image: bool = False,
    clip: bool = False,
    expand_timesteps: bool = False,
    experts: bool = False,
    unipc: bool = False,
    patch: tuple[int, int, int] = (1, 2, 2),
    **save: object,
) -> Path:
    """Write a random Wan pipeline (T2V, I2V, also with CLIP, per-token timestep, or two experts)."""
    torch.manual_seed(0)
    scheduler = (
        UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
        if unipc
        else FlowMatchEulerDiscreteScheduler(shift=3.0)
    )
    parts = {
        "tokenizer": tiny_tokenizer(),
        "text_encoder": tiny_text_encoder(),
        "vae": tiny_vae(),
        "scheduler": scheduler,
        "transformer": tiny_transformer(
            4 + 4 + 4 if image and not expand_timesteps else 4,
            patch,
            **({"image_dim": 16, "added_kv_proj_dim": 24} if clip else {}),
        ),
        "expand_timesteps": expand_timesteps,
    }
    if experts:
        parts |= {"transformer_2": tiny_transformer(4, patch), "boundary_ratio": 0.875}
    if image:
        vision = tiny_clip_vision() if clip else {"image_encoder": None, "image_processor": None}
        pipe = WanImageToVideoPipeline(**parts, **vision)
    else:
        pipe = WanPipeline(**parts)
    pipe.save_pretrained(folder, **save)
    return folder


def randomise_projections(pipe: object, seed: int = 1) -> None:
    """Fill the motion columns and rows of a joint Wan pipeline, as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for name in ("transformer", "transformer_2"):
        transformer = getattr(pipe, name, None)
        if transformer is None:
            continue
        with torch.no_grad():
            columns = transformer.patch_embedding.weight[:, 4:8]
            columns.copy_(torch.randn(columns.shape, generator=generator) * 0.3)
            rows = transformer.proj_out.weight
            rows.copy_(torch.randn(rows.shape, generator=generator) * 0.3)


def write_holes(folder: Path, shapes: dict[str, list[int]], num_shards: int) -> None:
    """Write a sharded checkpoint whose data is a hole in the file: any size, no disk."""
    names = sorted(shapes)
    weight_map: dict[str, str] = {}
    for shard in range(num_shards):
        header: dict[str, object] = {}
        offset = 0
        for name in names[shard::num_shards]:
            size = 2 * torch.Size(shapes[name]).numel()
            offsets = [offset, offset + size]
            header[name] = {"dtype": "BF16", "shape": shapes[name], "data_offsets": offsets}
            offset += size
            weight_map[name] = f"diffusion_pytorch_model-{shard + 1:05}-of-{num_shards:05}.safetensors"
        encoded = json.dumps(header).encode()
        encoded += b" " * (-len(encoded) % 8)
        with (folder / weight_map[name]).open("wb") as file:
            file.write(struct.pack("<Q", len(encoded)) + encoded)
            file.truncate(8 + len(encoded) + offset)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
