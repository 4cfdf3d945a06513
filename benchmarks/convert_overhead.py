"""What converting adds to a forward and to a training step of the same base: joint over base, paired.

    python benchmarks/convert_overhead.py [--out benchmarks/results/convert_overhead.json]

Base and joint alternate, A B B A, in one process on the same inputs. Reported is the median of the ratios of
neighbouring pairs with a bootstrap interval; the goal is at most 1.02 at 100 M parameters or more.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.models import WanTransformer3DModel

from videojam.files import write_text
from videojam.joint.widen import widen_transformer

GOAL = 1.02


def base_transformer(width: int, num_layers: int) -> WanTransformer3DModel:
    """Return a random Wan transformer; width 768 with 12 layers has 127 M parameters."""
    torch.manual_seed(0)
    return WanTransformer3DModel(
        num_attention_heads=width // 64,
        attention_head_dim=64,
        in_channels=16,
        out_channels=16,
        text_dim=256,
        ffn_dim=4 * width,
        num_layers=num_layers,
    )


def forward(transformer: WanTransformer3DModel, inputs: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        transformer(**inputs, return_dict=False)


def training_step(
    transformer: WanTransformer3DModel, optimizer: torch.optim.Optimizer, inputs: dict[str, torch.Tensor]
) -> None:
    output = transformer(**inputs, return_dict=False)[0]
    output.square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def seconds(function: Callable[[], None], device: str) -> float:
    start = time.perf_counter()
    function()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def paired_ratio(
    base: Callable[[], None], joint: Callable[[], None], num_pairs: int, device: str
) -> dict[str, object]:
    """Time A B B A … and return the median of joint/base over the pairs, with a 95 % bootstrap interval."""
    base()
    joint()
    pairs = []
    for i in range(num_pairs):
        order = (base, joint) if i % 2 == 0 else (joint, base)
        first, second = (seconds(function, device) for function in order)
        pairs.append((first, second) if i % 2 == 0 else (second, first))
    ratios = [joint_s / base_s for base_s, joint_s in pairs]
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(2000))
    return {
        "base_median_s": statistics.median(base_s for base_s, _ in pairs),
        "joint_median_s": statistics.median(joint_s for _, joint_s in pairs),
        "ratio_median": statistics.median(ratios),
        "ratio_95": [medians[50], medians[1949]],
        "ratio_of_fastest": min(joint_s for _, joint_s in pairs) / min(base_s for base_s, _ in pairs),
        "num_pairs": num_pairs,
    }


def measure(
    width: int, num_layers: int, num_pairs: int, latent: tuple[int, int, int], device: str
) -> dict[str, object]:
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    base: Any = base_transformer(width, num_layers)
    base = base.to(device, dtype)
    joint = widen_transformer(base)
    text = torch.randn(1, 64, 256, device=device, dtype=dtype)
    timestep = torch.tensor([500.0], device=device)
    arms = {}
    for name, transformer in (("base", base), ("joint", joint)):
        x = torch.randn(1, transformer.config.in_channels, *latent, device=device, dtype=dtype)
        inputs = {"hidden_states": x, "timestep": timestep, "encoder_hidden_states": text}
        optimizer = torch.optim.AdamW(transformer.parameters(), lr=1e-5)
        arms[name] = (transformer, optimizer, inputs)
    return {
        "parameters": {name: sum(p.numel() for p in arm[0].parameters()) for name, arm in arms.items()},
        "tokens": latent[0] * latent[1] * latent[2] // 4,
        "forward": paired_ratio(
            lambda: forward(arms["base"][0], arms["base"][2]),
            lambda: forward(arms["joint"][0], arms["joint"][2]),
            num_pairs,
            device,
        ),
        "training_step": paired_ratio(
            lambda: training_step(*arms["base"]), lambda: training_step(*arms["joint"]), num_pairs, device
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--latent", type=int, nargs=3, default=(4, 16, 16), help="F H W of the latents")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/convert_overhead.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures = measure(
        arguments.width, arguments.layers, arguments.pairs, tuple(arguments.latent), arguments.device
    )
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": f"python benchmarks/convert_overhead.py --threads {arguments.threads}",
        "hardware": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "device": device_name(arguments),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        },
        "goal": f"ratio_median <= {GOAL}",
        **figures,
    }
    write_text(arguments.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def device_name(arguments: argparse.Namespace) -> str:
    if arguments.device != "cpu":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "cpu")


if __name__ == "__main__":
    main()
