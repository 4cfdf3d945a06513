"""Measured peaks of `train` on a CPU beside what its dry run says: full, LoRA, checkpointed activations, small weights.

    python benchmarks/training_peaks.py [--out benchmarks/results/training_peaks.json]

A random Wan of 0.1 B parameters, one clip of 9 frames of 192×192 px a step. Each row is a process of its own on encoded
clips: what the kernel reports as its largest resident memory from before the transformer is loaded to the log line of
the second step, minus what the process held before. The dry run's figure is its row `training`: weights, moments,
average, activations and gradients. The processes have glibc give freed tensors back at once (`NO_HOLES`): by default
it keeps a heap with holes, 0.5 GB of them in the row `master_weights bf16`.
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

from random_wan import write_random_wan

from videojam.files import write_text
from videojam.provenance import versions_of
from videojam.training.config import TrainConfig
from videojam.training.dry_run import dry_run

NO_HOLES = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
ROWS: dict[str, dict[str, Any]] = {
    "full, fp32": {},
    "full, fp32, no average": {"ema_decay": 0.0},
    "full, fp32, gradient_checkpointing": {"gradient_checkpointing": True},
    "full, fp32, plain control": {"method": "plain"},
    "full, adafactor": {"optimizer": {"name": "adafactor"}},
    "full, master_weights bf16": {"precision": "bf16", "master_weights": "bf16"},
    "LoRA rank 16, fp32": {"lora": {"rank": 16}},
    "LoRA rank 16, bf16 base": {"lora": {"rank": 16}, "precision": "bf16"},
}
RUN = """
import gc, json, os, sys
from videojam.training.config import TrainConfig
from videojam.training.run import train
def kib(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))
held = []
def listen(kind, content):
    if kind == "encode" and content[0] == content[1]:
        gc.collect()
        held[:] = [kib("VmRSS")]
        open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
    if kind == "line" and "loss" in content and content["step"] == 2:
        print(json.dumps({"mib": round((kib("VmHWM") - held[0]) / 1024)}), flush=True)
        os._exit(0)
train(TrainConfig.model_validate(json.loads(sys.argv[1])), listen=listen)
"""


def row(config: dict[str, Any]) -> dict[str, float]:
    """Return what the dry run says and what a process measures, in MiB."""
    said = dry_run(TrainConfig.model_validate(config), tflops=1.0).estimate.training / 2**20
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", **NO_HOLES}
    command = [sys.executable, "-c", RUN, json.dumps(config)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    measured = json.loads(done.stdout.splitlines()[-1])["mib"]
    return {
        "dry_run_mib": round(said),
        "measured_mib": measured,
        "dry_run / measured": round(said / measured, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(ROWS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "training_peaks.json")
    args = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_random_wan(folder / "base", num_heads=8, head_dim=128, ffn_dim=4096, num_layers=6)
        recipe = {
            "base": str(folder / "base"),
            "data": {
                "source": {"kind": "world", "num_clips": 3, "world": {"num_frames": 9, "pixel_px": 24}},
                "cache": str(folder / "cache"),
                "num_heldout": 1,
                "max_sequence_length": 64,
            },
            "motion": {"estimator": "exact"},
            "num_steps": 100,
            "batch_size": 1,
            "precision": "fp32",
            "log_every": 1,
            "validate_t": [0.5],
            "trackers": [],
        }
        for number, (kind, changes) in enumerate(ROWS.items()):
            if args.only and kind not in args.only:
                continue
            rows[kind] = row({**recipe, **changes, "out": str(folder / str(number))})
            print(kind, rows[kind], flush=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "command": "python benchmarks/training_peaks.py",
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": versions_of(("torch", "diffusers")),
        "rows": rows,
    }
    write_text(args.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
