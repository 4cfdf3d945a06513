"""Tiny random pipelines of the families beside Wan, written in the hub's folder layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLHunyuanVideo,
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    AutoencoderKLLTXVideo,
    AutoencoderKLMochi,
    ClassifierFreeGuidance,
    CogVideoXDDIMScheduler,
    CogVideoXDPMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
    LTX2Pipeline,
    LTX2VideoTransformer3DModel,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    MochiPipeline,
    MochiTransformer3DModel,
)
from diffusers.models.transformers import transformer_hunyuan_video15
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
from tiny_pipelines import WORDS, tiny_tokenizer
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaConfig,
    LlamaModel,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    T5Config,
    T5EncoderModel,
)


def tiny_t5() -> T5EncoderModel:
    config = T5Config(vocab_size=len(WORDS) + 3, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return T5EncoderModel(config).eval()


def t5_parts() -> dict[str, object]:
    return {"tokenizer": tiny_tokenizer(), "text_encoder": tiny_t5()}


def write_tiny_cogvideox(
    folder: Path,
    *,
    rotary: bool = False,
    padded: bool = False,
    dpm: bool = False,
    image: bool = False,
) -> Path:
    """Write a random CogVideoX pipeline: as 2B, 5B (rotary, DPM) or 1.5 (padded to two latent frames); T2V or I2V."""
    torch.manual_seed(0)
    pipeline = CogVideoXImageToVideoPipeline if image else CogVideoXPipeline
    kind = CogVideoXDPMScheduler if dpm else CogVideoXDDIMScheduler
    pipeline(
        **t5_parts(),
        vae=AutoencoderKLCogVideoX(
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            scaling_factor=0.7,
            invert_scale_latents=image and padded,
        ).eval(),
        transformer=CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=8 if image else 4,
            out_channels=4,
            time_embed_dim=32
            if image and padded
            else 8,  # one row of 8 rounds by where its weights lie in memory
            ofs_embed_dim=32 if image and padded else None,
            use_learned_positional_embeddings=image and not padded,
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


def write_tiny_ltx(folder: Path, *, image: bool = False) -> Path:
    """Write a random LTX-Video pipeline, T2V or I2V, whose autoencoder decodes with a timestep.

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
    (LTXImageToVideoPipeline if image else LTXPipeline)(
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


class NarrowProjection(transformer_hunyuan_video15.HunyuanVideo15ByT5TextProjection):
    """The stock class fixes a width of 2,048, which is most of the time that a tiny transformer takes."""

    def __init__(self, in_features: int, hidden_size: int, out_features: int) -> None:
        super().__init__(in_features, 32 if in_features == 16 else hidden_size, out_features)


transformer_hunyuan_video15.HunyuanVideo15ByT5TextProjection = NarrowProjection


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


def tiny_gemma() -> Gemma3ForConditionalGeneration:
    text = {**DECODER, "num_hidden_layers": 1, "head_dim": 8}
    vision = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "image_size": 16,
        "patch_size": 8,
    }
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=2)
    return Gemma3ForConditionalGeneration(config).eval()


def write_tiny_ltx2(folder: Path) -> Path:
    """Write a random LTX-2 pipeline: video, and sound of 25 tokens a second."""
    torch.manual_seed(0)
    connector = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 1,
        "num_learnable_registers": 8,
    }
    vae = AutoencoderKLLTX2Video(
        latent_channels=16,
        block_out_channels=(8,),
        down_block_types=("LTX2VideoDownBlock3D",),
        decoder_block_out_channels=(8,),
        layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        spatio_temporal_scaling=(True,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_inject_noise=(False, False),
        downsample_type=("spatiotemporal",),
        upsample_type=("spatiotemporal",),
        upsample_residual=(False,),
        upsample_factor=(1,),
        scaling_factor=0.9,
    ).eval()
    vae.latents_mean.copy_(torch.linspace(-0.3, 0.3, 16))
    vae.latents_std.copy_(torch.linspace(0.5, 2, 16))
    audio_vae = AutoencoderKLLTX2Audio(
        base_channels=4, ch_mult=(1,), num_res_blocks=1, resolution=32, latent_channels=2, mel_bins=8
    ).eval()
    audio_vae.latents_mean.copy_(torch.linspace(-0.2, 0.2, 4))
    audio_vae.latents_std.copy_(torch.linspace(0.5, 2, 4))
    LTX2Pipeline(
        tokenizer=tiny_tokenizer(),
        text_encoder=tiny_gemma(),
        connectors=LTX2TextConnectors(
            caption_channels=16,
            text_proj_in_factor=2,
            **{
                f"{branch}_connector_{key}": n
                for branch in ("video", "audio")
                for key, n in connector.items()
            },
        ).eval(),
        vae=vae,
        audio_vae=audio_vae,
        vocoder=LTX2Vocoder(
            in_channels=16,
            hidden_channels=8,
            upsample_kernel_sizes=[4],
            upsample_factors=[2],
            resnet_kernel_sizes=[3],
            resnet_dilations=[[1]],
        ).eval(),
        transformer=LTX2VideoTransformer3DModel(
            in_channels=16,
            out_channels=16,
            num_attention_heads=2,
            attention_head_dim=16,
            cross_attention_dim=32,
            vae_scale_factors=(2, 8, 8),
            audio_in_channels=4,
            audio_out_channels=4,
            audio_num_attention_heads=2,
            audio_attention_head_dim=8,
            audio_cross_attention_dim=16,
            num_layers=1,
            caption_channels=16,
            rope_type="split",
        ).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, shift_terminal=0.1
        ),
    ).save_pretrained(folder)
    return folder


every_family = pytest.mark.parametrize(
    ("write", "frames", "side"),
    [
        (write_tiny_cogvideox, 9, 32),
        (write_tiny_ltx, 9, 64),
        (write_tiny_mochi, 13, 32),
        (write_tiny_hunyuan_video, 9, 32),
        (write_tiny_hunyuan_video15, 9, 32),
    ],
    ids=["cogvideox", "ltx", "mochi", "hunyuan-video", "hunyuan-video-1.5"],
)
"""Each family beside Wan, with clips that its tiny autoencoder takes."""
