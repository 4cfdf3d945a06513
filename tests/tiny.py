"""Tiny random pipelines of stock classes, written in the hub's folder layout."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLHunyuanVideo,
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLLTXVideo,
    AutoencoderKLMochi,
    AutoencoderKLWan,
    ClassifierFreeGuidance,
    CogVideoXDDIMScheduler,
    CogVideoXDPMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    MochiPipeline,
    MochiTransformer3DModel,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    T5Config,
    T5EncoderModel,
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
            4 + 4 + 4 if image else 4, patch, **({"image_dim": 16, "added_kv_proj_dim": 24} if clip else {})
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


def tiny_t5() -> T5EncoderModel:
    config = T5Config(vocab_size=len(WORDS) + 3, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return T5EncoderModel(config).eval()


def t5_parts() -> dict[str, object]:
    return {"tokenizer": tiny_tokenizer(), "text_encoder": tiny_t5()}


def write_tiny_cogvideox(
    folder: Path, *, rotary: bool = False, padded: bool = False, dpm: bool = False
) -> Path:
    """Write a random CogVideoX pipeline: as 2B, 5B (rotary, DPM) or 1.5 (padded to two latent frames)."""
    torch.manual_seed(0)
    kind = CogVideoXDPMScheduler if dpm else CogVideoXDDIMScheduler
    CogVideoXPipeline(
        **t5_parts(),
        vae=AutoencoderKLCogVideoX(
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            scaling_factor=0.7,
        ).eval(),
        transformer=CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=4,
            out_channels=4,
            time_embed_dim=8,
            text_embed_dim=16,
            num_layers=2,
            sample_width=4,
            sample_height=4,
            sample_frames=9,
            patch_size_t=2 if padded else None,
            max_text_seq_length=8,
            use_rotary_positional_embeddings=rotary or padded,
            patch_bias=not padded,
        ).eval(),
        scheduler=kind(
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            snr_shift_scale=1.0,
            clip_sample=False,
        ),
    ).save_pretrained(folder)
    return folder


def write_tiny_ltx(folder: Path) -> Path:
    """Write a random LTX-Video pipeline whose autoencoder decodes with a timestep.

    16 channels: for 8 output columns the CPU's library takes another kernel than for 16, which rounds otherwise.
    """
    torch.manual_seed(0)
    vae = AutoencoderKLLTXVideo(
        latent_channels=16,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        timestep_conditioning=True,
        scaling_factor=0.9,
    ).eval()
    vae.latents_mean.copy_(torch.linspace(-0.3, 0.3, 16))
    vae.latents_std.copy_(torch.linspace(0.5, 2, 16))
    LTXPipeline(
        **t5_parts(),
        vae=vae,
        transformer=LTXVideoTransformer3DModel(
            in_channels=16,
            out_channels=16,
            num_attention_heads=2,
            attention_head_dim=16,
            cross_attention_dim=32,
            num_layers=2,
            caption_channels=16,
        ).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, shift_terminal=0.1
        ),
    ).save_pretrained(folder)
    return folder


def write_tiny_mochi(folder: Path) -> Path:
    """Write a random Mochi pipeline."""
    torch.manual_seed(0)
    transformer = MochiTransformer3DModel(
        patch_size=2,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=12,
        text_embed_dim=16,
        time_embed_dim=8,
        max_sequence_length=16,
    ).eval()
    torch.nn.init.normal_(transformer.pos_frequencies)
    MochiPipeline(
        **t5_parts(),
        vae=AutoencoderKLMochi(
            encoder_block_out_channels=(32, 32, 32, 32),
            decoder_block_out_channels=(32, 32, 32, 32),
            layers_per_block=(1, 1, 1, 1, 1),
        ).eval(),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
    ).save_pretrained(folder)
    return folder


DECODER = {
    "vocab_size": len(WORDS) + 3,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def write_tiny_hunyuan_video(folder: Path) -> Path:
    """Write a random HunyuanVideo pipeline with an embedded guidance scale."""
    torch.manual_seed(0)
    clip = CLIPTextConfig(
        vocab_size=len(WORDS) + 3,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=16,
        eos_token_id=1,
    )
    HunyuanVideoPipeline(
        tokenizer=tiny_tokenizer(),
        text_encoder=LlamaModel(LlamaConfig(**DECODER)).eval(),
        tokenizer_2=tiny_tokenizer(),
        text_encoder_2=CLIPTextModel(clip).eval(),
        vae=AutoencoderKLHunyuanVideo(
            block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2
        ).eval(),
        transformer=HunyuanVideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=10,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            text_embed_dim=16,
            pooled_projection_dim=16,
            rope_axes_dim=(2, 4, 4),
        ).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    ).save_pretrained(folder)
    return folder


def write_tiny_hunyuan_video15(folder: Path) -> Path:
    """Write a random HunyuanVideo 1.5 pipeline."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    filler = (
        "{% for i in range(108) %}the {% endfor %}"  # the pipeline cuts off the 108 tokens of its template
    )
    tokenizer.chat_template = filler + "{{ messages[1]['content'] }} over"  # as the header of an answer
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    HunyuanVideo15Pipeline(
        tokenizer=tokenizer,
        text_encoder=Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(**DECODER, rope_scaling=rope)).eval(),
        tokenizer_2=tiny_tokenizer(),
        text_encoder_2=tiny_t5(),
        vae=AutoencoderKLHunyuanVideo15(
            block_out_channels=(8, 8, 8, 8, 8), latent_channels=4, layers_per_block=1
        ).eval(),
        transformer=HunyuanVideo15Transformer3DModel(
            in_channels=9,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=10,
            num_layers=1,
            num_refiner_layers=1,
            text_embed_dim=16,
            text_embed_2_dim=16,
            image_embed_dim=8,
            rope_axes_dim=(2, 4, 4),
        ).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
        guider=ClassifierFreeGuidance(guidance_scale=6.0),
    ).save_pretrained(folder)
    return folder


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
