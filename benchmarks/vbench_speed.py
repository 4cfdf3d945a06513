"""Own dynamic degree and consistency against a plain re-implementation of the official per-clip loop.

    python benchmarks/vbench_speed.py [--device cpu] [--clips 3] [--side 256]
        [--out benchmarks/results/vbench_speed.json]

Same networks (of the real shapes; random weights unless paths are given), same clips, same thread count. The plain
loop does what VBench 0.1.5 does: RAFT pair by pair with both frames encoded anew, all pairs before the decision,
a full sort on the CPU; DINO frame by frame with a synchronisation each; CLIP on the whole clip at once with
gradients recorded. Both get decoded clips. Dynamic degree is timed twice: as it is, and with a threshold that no
flow reaches, where a decision takes the most pairs; the total counts the mean of the two. CPU time is reported
beside the wall clock's, since other work on the machine disturbs the latter.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import transforms
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, ViTConfig, ViTModel

from videojam.evaluation.vbench import dynamic_degree
from videojam.evaluation.vbench.consistency import ClipFeatures, DinoFeatures, consistency
from videojam.evaluation.vbench.dynamic_degree import DynamicDegree
from videojam.evaluation.vbench.preprocess import CLIP, IMAGENET
from videojam.files import write_text
from videojam.world import WorldConfig, sample_clip
from videojam.world.config import MIN_FRAMES

GOAL = 1.5
TOLERANCE = 1e-3
TINY: dict[str, Any] = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 96,
}


def official_dynamic(
    network: nn.Module, video: Tensor, fps: float, threshold_px: float
) -> tuple[bool, list[float]]:
    device = next(network.parameters()).device
    frames = [frame[None].float().to(device) for frame in video][:: max(1, round(fps / 8))]
    needed, magnitudes = round(4 * (len(frames) / 16)), []
    with torch.no_grad():
        for first, second in pairwise(frames):
            height, width = first.shape[-2:]
            rows, columns = (8 - height % 8) % 8, (8 - width % 8) % 8
            margins = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
            pair = [
                functional.pad(2 * (frame / 255) - 1, margins, mode="replicate") for frame in (first, second)
            ]
            flow = network(*pair, num_flow_updates=20)[-1][0].permute(1, 2, 0).cpu().numpy()
            speed = np.sqrt(np.square(flow[..., 0]) + np.square(flow[..., 1]))
            top = np.abs(np.sort(-speed.flatten()))[: int(speed.size * 0.05)]
            magnitudes.append(float(np.mean(top)))
    count = 0
    for magnitude in magnitudes:
        count += magnitude > threshold_px
        if count >= needed:
            return True, magnitudes
    return False, magnitudes


def official_consistency(features: list[Tensor]) -> float:
    total, former, first = 0.0, features[0], features[0]
    for feature in features[1:]:
        previous = max(0.0, functional.cosine_similarity(former, feature).item())
        total += (previous + max(0.0, functional.cosine_similarity(first, feature).item())) / 2
        former = feature
    return total / (len(features) - 1)


def official_subject(network: nn.Module, video: Tensor) -> float:
    device = next(network.parameters()).device
    images = transforms.Resize(224, antialias=False)(video.float())
    images = transforms.Normalize(*IMAGENET)(images.div(255.0))
    features = []
    for image in images:
        with torch.no_grad():
            output = network(image[None].to(device), interpolate_pos_encoding=True).last_hidden_state[:, 0]
        features.append(functional.normalize(output, dim=-1))
    return official_consistency(features)


def official_background(network: nn.Module, video: Tensor) -> float:
    device = next(network.parameters()).device
    bicubic = transforms.InterpolationMode.BICUBIC
    images = transforms.CenterCrop(224)(transforms.Resize(224, bicubic, antialias=False)(video.float()))
    images = transforms.Normalize(*CLIP)(images.div(255.0)).to(device)
    for parameter in network.parameters():
        parameter.requires_grad_(True)  # as loaded there, and nothing turns gradients off
    features = functional.normalize(network(images).image_embeds, dim=-1)
    score = official_consistency([feature[None] for feature in features])
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return score


def timed(function: Callable[[], object], device: str) -> tuple[object, float, float]:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    cpu, wall = time.process_time(), time.perf_counter()
    result = function()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def write_random(folder: Path, tiny: bool) -> tuple[str, str]:
    """Networks of DINO ViT-B/16 and CLIP ViT-B/32, or tiny ones, with random weights."""
    torch.manual_seed(0)
    sizes = TINY if tiny else {}
    ViTModel(ViTConfig(**sizes), add_pooling_layer=False).save_pretrained(folder / "dino")
    CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes)).save_pretrained(folder / "clip")
    return str(folder / "dino"), str(folder / "clip")


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    world = WorldConfig(num_frames=max(options.frames, MIN_FRAMES), pixel_px=options.side // 8, fps=8.0)
    videos = [sample_clip(i, world).video[: options.frames] for i in range(options.clips)]
    with tempfile.TemporaryDirectory() as folder:
        random_dino, random_clip = write_random(Path(folder), options.tiny)
        dino = DinoFeatures(options.dino or random_dino, options.device)
        clip = ClipFeatures(options.clip or random_clip, options.device)
    dynamic = DynamicDegree(options.raft, options.device)
    threshold_px = dynamic_degree.moving_threshold_px(options.side, options.side)

    def decide(video: Tensor, least_px: float) -> bool:
        dynamic_degree.moving_threshold_px = lambda height, width: least_px
        return dynamic(video, 8.0)

    arms: dict[str, tuple[Callable[[Tensor], object], Callable[[Tensor], object]]] = {
        "dynamic degree": (
            lambda video: decide(video, threshold_px),
            lambda video: official_dynamic(dynamic.network, video, 8.0, threshold_px)[0],
        ),
        "dynamic degree, nothing moves": (
            lambda video: decide(video, math.inf),
            lambda video: official_dynamic(dynamic.network, video, 8.0, math.inf)[0],
        ),
        "flow of every pair": (
            lambda video: dynamic.magnitudes(video, 8.0).tolist(),
            lambda video: official_dynamic(dynamic.network, video, 8.0, threshold_px)[1],
        ),
        "subject consistency": (
            lambda video: consistency(dino(video)),
            lambda video: official_subject(dino.network, video),
        ),
        "background consistency": (
            lambda video: consistency(clip(video)),
            lambda video: official_background(clip.network, video),
        ),
    }
    rows = {name: compare(own, official, videos, options.device) for name, (own, official) in arms.items()}
    total = {
        side: (rows["dynamic degree"][side] + rows["dynamic degree, nothing moves"][side]) / 2
        + rows["subject consistency"][side]
        + rows["background consistency"][side]
        for side in ("own_s", "official_s", "own_cpu_s", "official_cpu_s")
    }
    rows["total"] = {
        **total,
        "ratio": total["official_s"] / total["own_s"],
        "cpu_ratio": total["official_cpu_s"] / total["own_cpu_s"],
        "largest_difference": max(row["largest_difference"] for row in rows.values()),
    }
    return rows


def compare(
    own: Callable[[Tensor], object], official: Callable[[Tensor], object], videos: list[Tensor], device: str
) -> dict[str, float]:
    """Seconds a clip of both, in turn, after one clip to warm up, and the largest relative difference."""
    own(videos[0][:3]), official(videos[0][:3])
    seconds = {"own_s": 0.0, "official_s": 0.0, "own_cpu_s": 0.0, "official_cpu_s": 0.0}
    largest = 0.0
    for video in videos:
        results = []
        for name, function in (("own", own), ("official", official)):
            result, wall, cpu = timed(partial(function, video), device)
            seconds[f"{name}_s"] += wall / len(videos)
            seconds[f"{name}_cpu_s"] += cpu / len(videos)
            results.append(np.atleast_1d(np.asarray(result, dtype=np.float64)))
        scale = max(1.0, float(np.abs(results[1]).max()))
        largest = max(largest, float(np.abs(results[0] - results[1]).max()) / scale)
    return {
        **seconds,
        "ratio": seconds["official_s"] / seconds["own_s"],
        "cpu_ratio": seconds["official_cpu_s"] / seconds["own_cpu_s"],
        "largest_difference": largest,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--frames", type=int, default=17, help="at 8 fps")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument(
        "--raft", help="RAFT's weights: a name of torchvision's or a file; random if not given"
    )
    parser.add_argument("--dino", help="hub id or folder; random if not given")
    parser.add_argument("--clip", help="hub id or folder; random if not given")
    parser.add_argument("--tiny", action="store_true", help="tiny transformers: does it run at all?")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = measure(options)
    for name, row in rows.items():
        print(
            f"{name:<30} own {row['own_s']:8.3f} s  official {row['official_s']:8.3f} s  "
            f"{row['ratio']:5.2f}× (CPU time {row['cpu_ratio']:5.2f}×)  differs by {row['largest_difference']:.1e}"
        )
    total = rows["total"]
    passed = total["ratio"] >= GOAL and total["largest_difference"] <= TOLERANCE
    print(f"goal: {GOAL}× and {TOLERANCE:g}: {'reached' if passed else 'missed'}")
    if options.out:
        device = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.processor()
        facts = {
            "date": date.today().isoformat(),
            "device": device or platform.machine(),
            "torch": torch.__version__,
            "options": {name: str(value) for name, value in vars(options).items() if name != "out"},
        }
        result = {**facts, "goal_reached": passed, "rows": rows}
        write_text(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
