"""Train the tiny pipeline's autoencoder (a stock AutoencoderKLWan) on clips and motion videos of the world.

    python -m studies.tiny.train_vae OUT [--clips 1200] [--seed 0]

One network codes both halves of a joint latent, so it learns both: each batch is half appearance, half
motion video. Parts that move weigh more, since they are a tenth of the picture and all of its coherence.
Resumes from OUT/state.safetensors + OUT/state.json if they exist.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers.models import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample, patchify, unpatchify
from safetensors.torch import load_file, save_file

from studies.tiny.tiny_world import TINY_WORLD
from videojam.files import renamed, write_text
from videojam.motion.code import MotionCode
from videojam.motion.flow import motion_video
from videojam.world import WorldConfig, sample_clip

Z_DIM = 16
SIZE_PX = TINY_WORLD.width
# The world's fastest part moves 5.2 px/frame at 64 x 64: at scale 0.06, 5.4 px/frame is drawn as m = 1.
LATENT_NOISE = 0.1
TINY_MOTION = MotionCode(estimator="exact", style="value", scale=0.06, curve="sqrt", padding="first")


class Stage(NamedTuple):
    """A stretch of training on crops of one size: small, short ones first, at a tenth of the cost of large ones."""

    num_steps: int
    batch_size: int
    world_px: int
    crop_px: int
    num_frames: int
    learning_rate: float
    final_rate: float
    texture: float = 0.25
    decoder_only: bool = False


STAGES = (
    Stage(2600, 16, 64, 16, 5, 2e-3, 1e-3),
    Stage(100, 12, 64, 32, 9, 1e-3, 0.9e-3),
    Stage(700, 4, SIZE_PX, 32, 25, 1e-3, 0.0),
    Stage(900, 4, SIZE_PX, 32, 25, 1.5e-3, 1e-4),
    # From here on the world of the tiny pipelines: no grain, which no latent of this size can hold.
    Stage(3000, 8, SIZE_PX, 32, 25, 1.5e-3, 5e-4, texture=0.0),
    Stage(1200, 8, SIZE_PX, SIZE_PX, 25, 5e-4, 0.0, texture=0.0),
    # Latents stay what they are, so that transformers can train on them meanwhile.
    Stage(700, 8, SIZE_PX, SIZE_PX, 25, 1e-3, 0.0, texture=0.0, decoder_only=True),
)


def freeze_encoder(vae: AutoencoderKLWan, ema: AutoencoderKLWan) -> None:
    """Go on from the average weights, whose latents others train on, and keep their encoder."""
    if vae.encoder.conv_in.weight.requires_grad:
        vae.load_state_dict(ema.state_dict())
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)


def stage_at(step: int) -> tuple[Stage, float]:
    """The stage of a step and its learning rate: linear from the stage's first rate to its last."""
    for stage in STAGES:
        if step < stage.num_steps:
            share = step / stage.num_steps
            return stage, stage.learning_rate + share * (stage.final_rate - stage.learning_rate)
        step -= stage.num_steps
    raise ValueError("past the last stage")


def build_vae() -> AutoencoderKLWan:
    """A 1.9 M-parameter AutoencoderKLWan, 8x in space and 4x in time, on 2x2 pixel patches (as Wan 2.2's)."""
    return AutoencoderKLWan(
        base_dim=16,
        z_dim=Z_DIM,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[True, True],
        patch_size=2,
        in_channels=12,
        out_channels=12,
        scale_factor_spatial=8,
        scale_factor_temporal=4,
        latents_mean=[0.0] * Z_DIM,
        latents_std=[1.0] * Z_DIM,
    )


def load_clips(num_clips: int, config: WorldConfig, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Appearance and motion videos uint8 [N, 2, T, 3, H, W] and masks of moving parts bool [N, T, H, W]."""
    videos, masks = [], []
    for index in range(num_clips):
        clip = sample_clip(seed + index, config)
        videos.append(torch.stack([clip.video, motion_video(clip.flow, TINY_MOTION)]))
        masks.append(clip.moving)
    return torch.stack(videos), torch.stack(masks)


def draw_batch(
    videos: torch.Tensor, masks: torch.Tensor, stage: Stage, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random crops, most around a moving part: video [B, 3, T, S, S] in [-1, 1], pixel weights [B, 1, T, S, S]."""

    def below(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    num_clips, _, num_frames, _, height, width = videos.shape
    frames, weights = [], []
    for slot in range(stage.batch_size):
        clip, start = below(num_clips), below(num_frames - stage.num_frames + 1)
        centres = masks[clip, start].nonzero()
        if slot // 2 % 4 and len(centres):
            y, x = centres[below(len(centres))].tolist()
        else:
            y, x = below(height), below(width)
        top = min(max(y - stage.crop_px // 2, 0) // 8 * 8, height - stage.crop_px)
        left = min(max(x - stage.crop_px // 2, 0) // 8 * 8, width - stage.crop_px)
        window = slice(start, start + stage.num_frames)
        area = (slice(top, top + stage.crop_px), slice(left, left + stage.crop_px))
        frames.append(videos[clip, slot % 2, window][(..., *area)])
        weights.append(1.0 + 6.0 * masks[clip, window][(..., *area)].float())
    video = torch.stack(frames).permute(0, 2, 1, 3, 4).float() / 127.5 - 1.0
    return video, torch.stack(weights)[:, None]


def set_latent_statistics(vae: AutoencoderKLWan, videos: torch.Tensor) -> None:
    """Write the per-channel mean and standard deviation over both kinds of video into the stock config."""
    with torch.no_grad():
        z = torch.cat(
            [
                vae.encode(clip.permute(0, 2, 1, 3, 4).float() / 127.5 - 1.0).latent_dist.mode()
                for clip in videos[:128]
            ]
        )
    mean, std = z.mean(dim=(0, 2, 3, 4)), z.std(dim=(0, 2, 3, 4))
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())


def resample_whole(resample: WanResample, x: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    """A `WanResample` over a whole clip [B, C, T, H, W]: what it computes piece by piece with its cache."""
    batch, channels = x.shape[:2]
    if resample.mode == "upsample3d" and x.shape[2] > 1:
        pairs = resample.time_conv(x[:, :, 1:]).unflatten(1, (2, channels))
        x = torch.cat([x[:, :, :1], pairs.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)], dim=2)
    num_frames = x.shape[2]
    x = resample.resample(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, num_frames)).transpose(1, 2)
    if resample.mode == "downsample3d" and num_frames > 1:
        x = torch.cat([x[:, :, :1], resample.time_conv(x)], dim=2)
    return x


def reconstruct(
    vae: AutoencoderKLWan, video: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The latent mean and the decoded, noised latent, each in one pass over all frames.

    The stock `encode` and `decode` go through a clip four frames at a time to save memory, at four times the
    time; and `decode` ends in a clamp, which has no gradient where a young decoder overshoots.
    """
    z = vae.quant_conv(vae.encoder(patchify(video, vae.config["patch_size"]))).chunk(2, dim=1)[0]
    decoded = vae.decoder(vae.post_quant_conv(z + noise))
    return z, unpatchify(decoded, vae.config["patch_size"])


def save_state(
    out: Path, step: int, vae: torch.nn.Module, ema: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Weights, average and Adam moments to a temporary name, then renamed."""
    tensors = {f"vae.{k}": v for k, v in vae.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in ema.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{k}": v for k, v in moments.items()}
    with renamed(out / "state.safetensors") as unfinished:
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, unfinished)
    write_text(out / "state.json", json.dumps({"step": step}))


def load_state(
    out: Path, vae: torch.nn.Module, ema: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Restore what `save_state` wrote; 0 where there is nothing."""
    if not (out / "state.json").exists():
        return 0
    tensors = load_file(out / "state.safetensors")
    vae.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("vae.")})
    ema.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("ema.")})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(json.loads((out / "state.json").read_text())["step"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(args.seed)
    vae, ema = build_vae(), build_vae()
    ema.load_state_dict(vae.state_dict())
    for module in vae.modules():
        if isinstance(module, WanResample):
            module.forward = partial(resample_whole, module)  # type: ignore[method-assign]
    optimizer = torch.optim.AdamW(vae.parameters(), betas=(0.9, 0.99), weight_decay=1e-4)
    step = load_state(args.out, vae, ema, optimizer)
    num_parameters = sum(p.numel() for p in vae.parameters())
    print(f"{num_parameters / 1e6:.2f} M parameters, from step {step}", flush=True)
    loaded_world: WorldConfig | None = None
    run = torch.compile(reconstruct, dynamic=False)

    started = time.time()
    num_steps = sum(stage.num_steps for stage in STAGES)
    while step < num_steps:
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        stage, rate = stage_at(step)
        if stage.decoder_only:
            freeze_encoder(vae, ema)
        world = WorldConfig(height=stage.world_px, width=stage.world_px, texture=stage.texture)
        if world != loaded_world:
            videos, masks = load_clips(args.clips, world, seed=1_000_000 + args.seed)
            loaded_world = world
        video, weight = draw_batch(videos, masks, stage, generator)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 30)
        # A fixed noise in place of a learnt variance: it smooths the latent space, and can't be unlearnt.
        size_px, num_latent_frames = stage.crop_px // 8, (stage.num_frames + 3) // 4
        noise = torch.randn(
            (stage.batch_size, Z_DIM, num_latent_frames, size_px, size_px), generator=generator
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z, decoded = run(vae, video, LATENT_NOISE * noise)
        error = decoded.float() - video
        size = z.float().square().mean()
        reconstruction = ((error.abs() + error.square()) * weight).sum() / weight.expand_as(error).sum()
        loss = reconstruction + 1e-3 * size
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for average, value in zip(ema.parameters(), vae.parameters(), strict=True):
                average.lerp_(value, 0.01 if step > 100 else 0.5)
        step += 1
        if step % 50 == 0:
            halves = [error[k::2].abs().mean().item() for k in (0, 1)]
            line = {
                "step": step,
                "loss": round(reconstruction.item(), 5),
                "latent_square": round(size.item(), 3),
                "appearance_l1": round(halves[0], 5),
                "motion_l1": round(halves[1], 5),
                "seconds": round(time.time() - started),
            }
            print(json.dumps(line), flush=True)
            with (args.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if step % 300 == 0 or step == num_steps:
            save_state(args.out, step, vae, ema, optimizer)

    set_latent_statistics(ema, videos)
    ema.save_pretrained(args.out / "vae")
    print(f"saved {args.out / 'vae'}")


if __name__ == "__main__":
    main()
