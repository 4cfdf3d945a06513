"""Stock pipeline folders of the study's models: WanPipeline with an exact autoencoder and exact word vectors.

    python -m studies.premise.folders [--weights benchmarks/results/premise/long] [--out src/videojam/tiny]

The study's latents are pixels and its text is a table, so both components are constructed, not trained:

- The autoencoder shows each of the study's pixels as 8×8 (WanPipeline asks for sizes in multiples of 16,
  and a video codec keeps what fills its blocks). Its residual
  blocks and attention add zero. Its normalisation is made linear by one channel of constant size K ≫ |x|, and SiLU
  by pairs of channels, as silu(y) − silu(−y) = y.
- The text encoder has no layer: an embedding and T5's normalisation, under which a unit vector times √width stays
  what it is. Padding and unknown words are zero, so that the empty prompt is the study's null text.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.models import AutoencoderKLWan
from diffusers.pipelines import WanPipeline
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from studies.premise.config import StudyConfig, load_config
from studies.premise.model import NUM_CHANNELS, make_base
from studies.premise.sample import NUM_STEPS
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model, quiet_loading
from videojam.models.record import MotionRecord, SamplingDefaults, save_defaults, save_record
from videojam.motion.code import MotionCode
from videojam.sampling.verify import save_fingerprint
from videojam.tiny import PREFIX, assemble
from videojam.world import captions
from videojam.world.captions import NUM_WORDS
from videojam.world.config import MID_LEVEL, UNIT_LEVELS, WorldConfig
from videojam.world.latents import appearance_std

CONSTANT = 1000.0
"""K; the autoencoder's relative error is |x|² / K² at most."""
SOURCES = {"base": "base", "control": "control.base.s1", "videojam": "joint.base.s1"}
"""Weights of the run, without their suffix, by the name that they ship under."""
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
NUM_JOINT_STEPS = 23_272
"""Of the run `long`; docs/study-premise.md."""
W_MOTION = 2.0
"""Of the study's primary contrast; its w1 is 0."""


def build_autoencoder(world: WorldConfig) -> AutoencoderKLWan:
    """Construct the autoencoder whose normalised latents are the study's."""
    std = UNIT_LEVELS * appearance_std(world) / 127.5
    mean = (MID_LEVEL - 127.5) / 127.5
    vae = AutoencoderKLWan(
        base_dim=8,
        z_dim=NUM_CHANNELS,
        dim_mult=[1],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[],
        in_channels=NUM_CHANNELS * world.pixel_px**2,
        out_channels=NUM_CHANNELS * world.pixel_px**2,
        patch_size=world.pixel_px,
        scale_factor_temporal=1,
        scale_factor_spatial=world.pixel_px,
        latents_mean=[mean] * NUM_CHANNELS,
        latents_std=[std] * NUM_CHANNELS,
    )
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        # channels of an enlarged pixel are colour-major; the mean of the copies, and copies of the mean
        copies = torch.eye(NUM_CHANNELS).repeat_interleave(world.pixel_px**2, dim=1)
        _write_linear(vae.encoder, copies / world.pixel_px**2, torch.eye(2 * NUM_CHANNELS)[:, :NUM_CHANNELS])
        _write_linear(vae.decoder, torch.eye(NUM_CHANNELS), copies.T)
        vae.encoder.conv_out.bias[NUM_CHANNELS:] = -30.0  # the posterior's log variance: certain
        vae.quant_conv.weight.copy_(_at_centre(torch.eye(2 * NUM_CHANNELS), vae.quant_conv))
        vae.post_quant_conv.weight.copy_(_at_centre(torch.eye(NUM_CHANNELS), vae.post_quant_conv))
    return vae.eval()


def _write_linear(half: nn.Module, read: Tensor, write: Tensor) -> None:
    """Make an encoder or decoder of zeros compute write · read · x, through channels [x, −x, K, 0]."""
    net = cast(Any, half)
    width = net.conv_in.weight.shape[0]
    spare = torch.zeros(width - 2 * len(read), read.shape[1])
    net.conv_in.weight.copy_(_at_centre(torch.cat([read, -read, spare]), net.conv_in))
    net.conv_in.bias[2 * len(read)] = CONSTANT
    net.norm_out.gamma[: 2 * len(read)] = CONSTANT / width**0.5
    spare = torch.zeros(write.shape[0], width - 2 * write.shape[1])
    net.conv_out.weight.copy_(_at_centre(torch.cat([write, -write, spare], dim=1), net.conv_out))


def _at_centre(matrix: Tensor, conv: nn.Module) -> Tensor:
    """Return a kernel of a causal convolution that is a matrix on the current pixel and frame."""
    kernel = torch.zeros_like(cast(nn.Conv3d, conv).weight)
    _, _, _, height, width = kernel.shape
    kernel[:, :, -1, height // 2, width // 2] = matrix
    return kernel


def build_text(world: WorldConfig, text_dim: int) -> tuple[PreTrainedTokenizerFast, UMT5EncoderModel]:
    """Construct the tokenizer of the captions' words and the encoder that gives `text_table`'s vectors."""
    words = sorted({word for text in captions(world) for word in text.split()})
    known = ["<pad>", "<unk>", *words]
    tokens = Tokenizer(models.WordLevel({word: i for i, word in enumerate(known)}, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", unk_token="<unk>", model_max_length=512
    )
    encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(known), d_model=text_dim, d_kv=4, d_ff=4, num_layers=0, num_heads=4,
            dropout_rate=0.0, pad_token_id=0,
        )
    )  # fmt: skip
    with torch.no_grad():
        encoder.shared.weight.zero_()
        encoder.shared.weight[2:] = torch.eye(text_dim)[: len(words)] * text_dim**0.5
    return tokenizer, encoder.eval()


def build_pipeline(config: StudyConfig) -> Any:
    """Assemble the stock pipeline, its transformer the study's untrained base."""
    tokenizer, encoder = build_text(config.world, config.model.text_dim)
    return WanPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=build_autoencoder(config.world),
        transformer=make_base(config.model, config.seed),
        # σ from 1 to 1/30 in equal steps, then 0: the study's, where t = step/30
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0, shift_terminal=1 / NUM_STEPS),
    )


def write_folders(weights: Path, out: Path) -> None:
    """Write base/, and of control/ and videojam/ what differs from it, with the study's weights.

    Args:
        weights: Folder of a run: its config, and averaged weights in half precision.
        out: Folder in which these three are replaced.
    """
    config = load_config(weights / "config.json")
    for name in SOURCES:
        shutil.rmtree(out / name, ignore_errors=True)
    pipe = build_pipeline(config)
    pipe.save_pretrained(out / "base")
    for name, source in SOURCES.items():
        folder, is_joint = out / name, source.startswith("joint")
        transformer: Any = make_base(config.model, config.seed)
        transformer = widen_transformer(transformer) if is_joint else transformer
        transformer.save_pretrained(folder / "transformer")
        # the run's own file, so that a repository that holds both stores it once
        shutil.copyfile(weights / f"{source}.fp16.safetensors", folder / "transformer" / WEIGHTS_NAME)
        save_defaults(_defaults(config, is_joint), folder)
        if is_joint:
            save_record(_record(config), folder)
    for name in SOURCES:
        # its own folder of the parts: the fingerprint is of the model as it is loaded
        save_fingerprint(load_model(assemble(out, name)), out / name)


def _defaults(config: StudyConfig, is_joint: bool) -> SamplingDefaults:
    return SamplingDefaults(
        **config.world.file_size,
        num_steps=NUM_STEPS,
        max_sequence_length=NUM_WORDS,
        negative_prompt="",
        w_text=0.0,
        w_motion=W_MOTION if is_joint else None,
    )


def _record(config: StudyConfig) -> MotionRecord:
    """The study draws each frame's step to the next, the last frame's too; a flow less, and the last is padded."""
    code = MotionCode(**{**config.code.model_dump(), "padding": "last", "gain": config.gain})
    return MotionRecord(
        motion=code,
        text_dropout=config.train.text_dropout,
        motion_dropout=config.train.motion_dropout,
        num_train_steps=NUM_JOINT_STEPS,
        base=f"{PREFIX}base",
    )


def main() -> None:
    """Write the folders that ship."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, default=Path("benchmarks/results/premise/long"))
    parser.add_argument("--out", type=Path, default=Path("src/videojam/tiny"))
    options = parser.parse_args()
    quiet_loading()
    write_folders(options.weights, options.out)


if __name__ == "__main__":
    main()
