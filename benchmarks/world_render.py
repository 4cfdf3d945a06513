"""World clips a second (video, exact flow and caption) and scores a second, on one thread.

    python benchmarks/world_render.py [--out benchmarks/results/world_render.json]

Rounds go through all kinds in turn, so a slow moment of the machine falls on all of them. Rates are of the
process's own CPU time, beside the wall clock's. Two plain passes over a clip's bytes stand for the
memory-bound limit: repeating the background over the frames, and clearing the flow.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from videojam.files import write_text
from videojam.world import KINDS, WorldClip, WorldConfig, sample_clip, score_clip

NUM_ROUNDS, CLIPS_A_ROUND = 7, 20


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def seconds(function: Callable[[int], object], seed: int) -> tuple[float, float]:
    """CPU and wall seconds a clip."""
    cpu, wall = time.process_time(), time.perf_counter()
    for i in range(CLIPS_A_ROUND):
        function(seed + i)
    return (time.process_time() - cpu) / CLIPS_A_ROUND, (time.perf_counter() - wall) / CLIPS_A_ROUND


def touch_bytes(config: WorldConfig) -> None:
    background = np.zeros((1, 3, config.height, config.width), dtype=np.uint8)
    np.repeat(background, config.num_frames, axis=0)
    np.zeros((config.num_frames - 1, 2, config.height, config.width), dtype=np.float32).fill(0)


def score_again(clip: WorldClip, _: int) -> object:
    return score_clip(clip.video, clip.caption)


def measure() -> dict[str, object]:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = WorldConfig()
    arms: dict[str, Callable[[int], object]] = {
        f"render {kind}": partial(sample_clip, config=config, kind=kind) for kind in KINDS
    }
    clips = {kind: sample_clip(0, config, kind) for kind in KINDS}
    for kind, clip in clips.items():
        arms[f"score {kind}"] = partial(score_again, clip)
    arms["write the same bytes"] = lambda _: touch_bytes(config)
    for function in arms.values():
        function(0)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for number in range(NUM_ROUNDS):
        for name, function in arms.items():
            times[name].append(seconds(function, 1000 * number))
    cpu = {name: statistics.median(pair[0] for pair in pairs) for name, pairs in times.items()}
    wall = {name: statistics.median(pair[1] for pair in pairs) for name, pairs in times.items()}
    mean_s = statistics.mean(cpu[f"render {kind}"] for kind in KINDS)
    return {
        "command": "python benchmarks/world_render.py",
        "date": datetime.date.today().isoformat(),
        "hardware": {"cpu": cpu_model(), "num_cores": os.cpu_count(), "num_threads": 1},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "torch": torch.__version__,
        },
        "clip": [config.num_frames, 3, config.height, config.width],
        "num_rounds": NUM_ROUNDS,
        "clips_a_round": CLIPS_A_ROUND,
        "clips_per_cpu_s": {name: 1 / value for name, value in cpu.items()},
        "clips_per_wall_s": {name: 1 / value for name, value in wall.items()},
        "render_all_kinds_clips_per_cpu_s": 1 / mean_s,
        "render_times_the_memory_bound": mean_s / cpu["write the same bytes"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "world_render.json")
    out = parser.parse_args().out
    result = measure()
    write_text(out, json.dumps(result, indent=2) + "\n")
    names = ("clips_per_cpu_s", "render_all_kinds_clips_per_cpu_s", "render_times_the_memory_bound")
    print(json.dumps({name: result[name] for name in names}, indent=2))


if __name__ == "__main__":
    main()
