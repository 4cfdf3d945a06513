"""Flow → RGB (Eq. 5) against torchvision's flow_to_image: same flow, one thread, A B A B in one run.

    python benchmarks/flow_to_rgb.py [--out benchmarks/results/flow_to_rgb.json]

Both write 8-bit frames. The memory-bound limit is the time of a plain copy that moves the same bytes
(half of them read, half written).
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

import torch
import torchvision
from torchvision.utils import flow_to_image

from videojam.files import write_text
from videojam.motion.code import MotionCode
from videojam.motion.rgb import flow_to_rgb, flow_to_rgb8

NUM_FRAMES, HEIGHT, WIDTH = 128, 256, 256
NUM_ROUNDS = 5


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def measure() -> dict[str, object]:
    torch.set_num_threads(1)
    flow = 5 * torch.randn(NUM_FRAMES, 2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    num_bytes = flow.nbytes + NUM_FRAMES * 3 * HEIGHT * WIDTH
    source = torch.zeros(num_bytes // 2, dtype=torch.uint8)
    target = torch.zeros_like(source)

    arms: dict[str, Callable[[], object]] = {"torchvision flow_to_image": lambda: flow_to_image(flow)}
    for style in ("value", "saturation"):
        for curve in ("linear", "sqrt", "log"):
            code = MotionCode(style=style, curve=curve)
            arms[f"videojam 8-bit {style} {curve}"] = partial(flow_to_rgb8, flow, code)
    arms["videojam float32 value linear"] = lambda: flow_to_rgb(flow, MotionCode())
    arms["copy of the same bytes"] = lambda: target.copy_(source)

    for function in arms.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(NUM_ROUNDS):
        for name, function in arms.items():
            times[name].append(seconds(function))

    medians = {name: statistics.median(values) for name, values in times.items()}
    baseline = medians["torchvision flow_to_image"]
    return {
        "command": "python benchmarks/flow_to_rgb.py",
        "date": datetime.date.today().isoformat(),
        "hardware": {"cpu": cpu_model(), "num_cores": os.cpu_count(), "num_threads": torch.get_num_threads()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
        "clip": [NUM_FRAMES, 2, HEIGHT, WIDTH],
        "num_bytes_moved": num_bytes,
        "num_rounds": NUM_ROUNDS,
        "median_s": medians,
        "all_s": times,
        "times_faster_than_torchvision": {name: baseline / value for name, value in medians.items()},
        "times_the_memory_bound": {
            name: value / medians["copy of the same bytes"] for name, value in medians.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "flow_to_rgb.json")
    out = parser.parse_args().out
    result = measure()
    write_text(out, json.dumps(result, indent=2) + "\n")
    print(
        json.dumps({name: result[name] for name in ("median_s", "times_faster_than_torchvision")}, indent=2)
    )


if __name__ == "__main__":
    main()
