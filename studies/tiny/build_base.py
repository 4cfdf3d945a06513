"""Assemble the tiny base pipeline, its transformer still random, from a trained autoencoder.

    python -m studies.tiny.build_base VAE_DIR OUT [--width 192] [--layers 6] [--seed 0]

The text encoder is a stock UMT5 trained here (a minute) to tell, at each word of a caption, which word it is
and which part of the scene it speaks of; without that, cross-attention could not tell the colour of the left
leg from that of the right. It stays frozen afterwards, as in every larger pipeline.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.models import AutoencoderKLWan, WanTransformer3DModel
from diffusers.pipelines import WanPipeline
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from studies.tiny.tiny_world import TINY_WORLD
from videojam.models.record import SamplingDefaults, save_defaults
from videojam.world.caption import TEMPLATES, slot_values, vocabulary

TEXT_WIDTH = 64
TEXT_TOKENS = 32


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over the world's vocabulary."""
    words = ["<pad>", "</s>", "<unk>", ",", *vocabulary()]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
    )


def random_caption(rng: random.Random) -> tuple[str, list[str]]:
    """A caption of the grammar, and for each of its words the slot that it fills ("" for fixed words)."""
    kind = rng.choice(sorted(TEMPLATES))
    words, roles = [], []
    for token in TEMPLATES[kind].replace(",", " ,").split():
        if token.startswith("{"):
            slot = token[1:-1]
            words.append(rng.choice(slot_values(slot)))
            roles.append(f"{kind}.{slot}")
        else:
            words.append(token)
            roles.append(kind)
    return " ".join(words).replace(" a orange ", " an orange "), roles


def train_text_encoder(tokenizer: PreTrainedTokenizerFast, seed: int, steps: int = 600) -> UMT5EncoderModel:
    """Train the encoder, with two linear heads that are thrown away, to name each word and its role."""
    encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(tokenizer), d_model=TEXT_WIDTH, d_kv=16, d_ff=128, num_layers=2, num_heads=4,
            dropout_rate=0.0, feed_forward_proj="gated-gelu",
        )
    )  # fmt: skip
    roles = sorted({role for s in range(400) for role in random_caption(random.Random(s))[1]})
    word_head, role_head = (
        torch.nn.Linear(TEXT_WIDTH, len(tokenizer)),
        torch.nn.Linear(TEXT_WIDTH, len(roles)),
    )
    parameters = [*encoder.parameters(), *word_head.parameters(), *role_head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3)
    rng = random.Random(seed)
    for step in range(steps):
        captions, labels = zip(*(random_caption(rng) for _ in range(64)), strict=True)
        tokens = tokenizer(list(captions), return_tensors="pt", padding=True)
        wanted = torch.full_like(tokens.input_ids, -100)
        for row, label in enumerate(labels):
            wanted[row, : len(label)] = torch.tensor([roles.index(role) for role in label])
        hidden = encoder(**{k: tokens[k] for k in ("input_ids", "attention_mask")}).last_hidden_state
        loss = _cross_entropy(role_head(hidden), wanted) + _cross_entropy(word_head(hidden), tokens.input_ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"text encoder: step {step}, loss {loss.item():.4f}", flush=True)
    return encoder.eval()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vae", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--ffn", type=int, default=512)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--shift", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    tokenizer = build_tokenizer()
    text_encoder = train_text_encoder(tokenizer, args.seed)
    vae: Any = AutoencoderKLWan.from_pretrained(args.vae)
    transformer = WanTransformer3DModel(
        patch_size=(1, 1, 1),
        num_attention_heads=args.width // args.head_dim,
        attention_head_dim=args.head_dim,
        in_channels=vae.config.z_dim,
        out_channels=vae.config.z_dim,
        text_dim=TEXT_WIDTH,
        freq_dim=64,
        ffn_dim=args.ffn,
        num_layers=args.layers,
        rope_max_seq_len=64,
    )
    pipeline: Any = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder.bfloat16(),  # as they ship
        vae=vae.to(torch.bfloat16),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=args.shift),
    )
    pipeline.save_pretrained(args.out)
    world = TINY_WORLD
    save_defaults(
        SamplingDefaults(
            fps=world.fps, num_frames=world.num_frames, height=world.height, width=world.width,
            num_steps=15, max_sequence_length=TEXT_TOKENS, negative_prompt="",
            w_text=2.0, w_motion=1.0,  # not tuned; the paper's are 5 and 3
        ),
        args.out,
    )  # fmt: skip
    print(f"{sum(p.numel() for p in transformer.parameters()) / 1e6:.2f} M parameters, saved {args.out}")


if __name__ == "__main__":
    main()
