"""Time and peak memory of `train` on a CPU: a stand-in over a whole run, and Wan 2.1 1.3B's shape to its first step.

    python benchmarks/training_memory.py [--only stand-in|wan-1.3b] [--out benchmarks/results/training_memory.json]

stand-in: a text encoder of 0.7 B (1.4 GB in bf16), a transformer of 0.04 B, three clips, LoRA, to the end of the run
with its export and proof. wan-1.3b: the transformer, the autoencoder and the text encoder (UMT5-XXL, 5.7 B, 11.4 GB in
bf16) of Wan 2.1 T2V 1.3B with random weights, to the first step; texts have 16 tokens, as a CPU without bf16
instructions takes minutes for 512. The pipelines are written to a temporary folder (1.6 and 15 GB). Each run is a
process of its own, whose largest resident memory the kernel reports: once with nothing encoded, once more on the same
cache, where no encoder is loaded.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from random_wan import tiny_tokenizer

from videojam.files import write_text
from videojam.provenance import versions_of

RUN = """
import json, os, resource, sys, time
from videojam.training.config import TrainConfig
from videojam.training.run import train
content, to_the_end = json.loads(sys.argv[1]), sys.argv[2] == "end"
started, first = time.perf_counter(), {}
def peak():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)
def listen(kind, line):
    if kind == "line" and "loss" in line and not first:
        first.update(first_step_s=round(time.perf_counter() - started, 1), first_step_peak_gb=peak(),
                     first_step_cpu_s=round(time.process_time(), 1))
        if not to_the_end:
            print(json.dumps(first), flush=True)
            os._exit(0)
print("begin", peak(), file=sys.stderr)
train(TrainConfig.model_validate(content), listen=listen)
print(json.dumps({**first, "run_peak_gb": peak()}))
"""


def write_stand_in(folder: Path) -> None:
    """Write the pipeline, with the tiny tokenizer of the tests."""
    from diffusers import (
        AutoencoderKLWan,
        FlowMatchEulerDiscreteScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    text = UMT5Config(vocab_size=256_384, d_model=1024, d_kv=64, d_ff=2816, num_layers=34, num_heads=16)
    encoder = UMT5EncoderModel(text)
    transformer: Any = WanTransformer3DModel(
        num_attention_heads=8, attention_head_dim=64, ffn_dim=2048, num_layers=8, in_channels=4, out_channels=4,
        text_dim=1024,
    )  # fmt: skip
    torch.set_default_dtype(torch.float32)
    vae = AutoencoderKLWan(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip
    print(
        f"text encoder {encoder.num_parameters() / 1e9:.2f} B, transformer {transformer.num_parameters() / 1e9:.3f} B"
    )
    pipe: Any = WanPipeline(
        tokenizer=tiny_tokenizer(),
        text_encoder=encoder,
        vae=vae,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
    pipe.save_pretrained(folder)


def write_wan(folder: Path) -> None:
    """Write a pipeline of the shapes of Wan 2.1 T2V 1.3B, part by part, so that no part need be in memory whole."""
    from accelerate import init_empty_weights
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    text = UMT5Config(vocab_size=256_384, d_model=4096, d_kv=64, d_ff=10_240, num_layers=24, num_heads=64)
    with init_empty_weights():
        encoder = UMT5EncoderModel(text)
        transformer: Any = WanTransformer3DModel(
            num_attention_heads=12, num_layers=30, ffn_dim=8960, in_channels=16
        )
    write_random(encoder, folder / "text_encoder", "model")
    encoder.config.architectures = ["UMT5EncoderModel"]
    encoder.config.save_pretrained(folder / "text_encoder")
    write_random(transformer, folder / "transformer", "diffusion_pytorch_model")
    transformer.save_config(folder / "transformer")
    parts: dict[str, Any] = {
        "vae": AutoencoderKLWan(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
    }
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    tiny_tokenizer().save_pretrained(folder / "tokenizer")
    index = {
        "_class_name": "WanPipeline", "_diffusers_version": "0.42.1",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
    }  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def write_random(module: Any, folder: Path, stem: str, shard_values: int = 500_000_000) -> None:
    """Write bf16 weights of a module on `meta` in shards: one block of random numbers, repeated."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    block = (torch.randn(1 << 20) * 0.02).to(torch.bfloat16)
    shards: list[dict[str, Any]] = [{}]
    for name, tensor in module.named_parameters():
        if name == "encoder.embed_tokens.weight":  # the same table as `shared`
            continue
        if sum(t.numel() for t in shards[-1].values()) + tensor.numel() > shard_values and shards[-1]:
            shards.append({})
        shards[-1][name] = tensor
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"{stem}-{number:05d}-of-{len(shards):05d}.safetensors"
        values = {
            name: block.repeat(-(-tensor.numel() // len(block)))[: tensor.numel()].view(tensor.shape).clone()
            for name, tensor in shard.items()
        }
        save_file(values, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(values, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))


def write_clips(folder: Path) -> None:
    """Write three clips of noise with captions."""
    from videojam.motion.video import write_video

    folder.mkdir()
    for number in range(3):
        write_video(folder / f"{number}.mp4", torch.randint(0, 256, (9, 3, 64, 64), dtype=torch.uint8), 16)
        (folder / f"{number}.txt").write_text("noise")


def measured(config: dict[str, Any], *, to_the_end: bool) -> dict[str, float]:
    """Run a process and return what it measured."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", RUN, json.dumps(config), "end" if to_the_end else "first"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measured_twice(write: str, folder: Path, *, to_the_end: bool, **more: Any) -> dict[str, Any]:
    """Write a pipeline in a process of its own, and train on it with an empty and with a full cache."""
    subprocess.run(
        [sys.executable, "-c", "import sys; from pathlib import Path; from training_memory import *; "
         f"{write}(Path(sys.argv[1])); write_clips(Path(sys.argv[2]))", str(folder / "base"), str(folder / "clips")],
        check=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    source = {"kind": "folder", "path": str(folder / "clips"), "num_frames": 9, "height": 64, "width": 64}
    config = {
        "base": str(folder / "base"),
        "data": {"source": {**source, "fps": 16}, "cache": str(folder / "cache"), "num_heldout": 1, **more},
        "motion": {"estimator": "dis"},
        "lora": {"rank": 16},
        "num_steps": 2,
        "log_every": 1,
        "validate_t": [0.5],
    }
    sizes = {
        part.name: round(sum(file.stat().st_size for file in part.glob("*.safetensors")) / 1e9, 2)
        for part in sorted((folder / "base").iterdir())
        if part.is_dir()
    }
    runs = {
        name: measured({**config, "out": str(folder / name)}, to_the_end=to_the_end)
        for name in ("first run", "on the same cache")
    }
    return {"files_gb": {name: size for name, size in sizes.items() if size}, **runs}


SHAPES: dict[str, dict[str, Any]] = {
    "stand-in": {"write": "write_stand_in", "to_the_end": True},
    "wan-1.3b": {"write": "write_wan", "to_the_end": False, "max_sequence_length": 16},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(SHAPES))
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "training_memory.json"
    )
    args = parser.parse_args()
    result = {
        "command": "python benchmarks/training_memory.py",
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": versions_of(("torch", "diffusers", "transformers")),
        **(json.loads(args.out.read_text()) if args.out.exists() else {}),
    }
    for shape in [args.only] if args.only else SHAPES:
        with tempfile.TemporaryDirectory() as name:
            result[shape] = {
                "date": datetime.date.today().isoformat(),
                **measured_twice(folder=Path(name), **SHAPES[shape]),
                "load": [round(load, 1) for load in os.getloadavg()],
            }
        write_text(args.out, json.dumps(result, indent=2) + "\n")
        print(shape, json.dumps(result[shape], indent=2), flush=True)


if __name__ == "__main__":
    main()
