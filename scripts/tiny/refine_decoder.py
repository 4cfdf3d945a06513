"""Train the decoder of the tiny autoencoder further, its encoder frozen, so that latents stay what they are.

    python scripts/tiny/refine_decoder.py VAE_DIR OUT [--steps 500] [--clips 300] [--seed 0]

Transformers trained on the old autoencoder's latents stay valid: only what latents look like gets sharper.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from train_vae import SIZE_PX, decode_unclamped, load_clips

LATENT_NOISE = 0.05  # of the latents' deviation: what a sampler leaves


@torch.no_grad()
def encode_all(vae: AutoencoderKLWan, videos: torch.Tensor) -> torch.Tensor:
    """Latents [N, 2, C, F, H, W] of videos uint8 [N, 2, T, 3, H, W]."""
    pixels = (clip.permute(0, 2, 1, 3, 4).float() / 127.5 - 1.0 for clip in videos)
    return torch.stack([vae.encode(clip).latent_dist.mode() for clip in pixels])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("vae", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    vae = AutoencoderKLWan.from_pretrained(args.vae)
    videos, masks = load_clips(args.clips, SIZE_PX, seed=2_000_000 + args.seed)
    latents = encode_all(vae, videos)
    trained = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    average = [p.detach().clone() for p in trained]
    optimizer = torch.optim.AdamW(trained, betas=(0.9, 0.99), weight_decay=1e-4)
    args.out.mkdir(parents=True, exist_ok=True)
    started = time.time()
    for step in range(args.steps):
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        rate = args.learning_rate * min(1.0, (step + 1) / 30) * (1 - step / args.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = torch.randint(args.clips, (args.batch_size,), generator=generator)
        halves = torch.arange(args.batch_size) % 2
        z = latents[rows, halves]
        z = z + LATENT_NOISE * latents.std() * torch.randn(z.shape, generator=generator)
        video = videos[rows, halves].transpose(1, 2).float() / 127.5 - 1.0
        weight = 1.0 + 6.0 * masks[rows][:, None].float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            decoded = decode_unclamped(vae, z)
        error = decoded.float() - video
        loss = ((error.abs() + error.square()) * weight).sum() / weight.expand_as(error).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, [p.detach() for p in trained], 0.02)
        if (step + 1) % 25 == 0:
            line = {"step": step + 1, "loss": round(loss.item(), 5), "seconds": round(time.time() - started)}
            print(json.dumps(line), flush=True)
            with (args.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
    with torch.no_grad():
        for parameter, value in zip(trained, average, strict=True):
            parameter.copy_(value)
    vae.save_pretrained(args.out / "vae")
    print(f"saved {args.out / 'vae'}")


if __name__ == "__main__":
    main()
