"""A step of `train`, joint and plain, beside a minimal torch loop over the same stock model, in turns on a CPU.

    python benchmarks/training_step.py [--rounds 12] [--steps 2] [--out benchmarks/results/training_step.json]

A random Wan of 14 M parameters and clips of 192 tokens, four a step, fp32, one thread; AdamW, gradients clipped, no
average of the weights, as the minimal loop has none. Each round runs a few steps of each side, in an order that turns;
medians over rounds of the ratio within a round are the result, for CPU time and for wall time. Clips are read from the
cache by both sides' data as they are in a run: the trainer's by its loader, the minimal loop's from memory. `prepared`
is VideoJAM on the same clips in a prepared folder.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from random_wan import write_random_wan

from videojam.data.config import WorldSource
from videojam.data.prepare.folder import prepare_folder
from videojam.data.prepare.request import PrepareRequest
from videojam.data.settings import ClipSettings, PrepareSettings, parse_bucket
from videojam.files import write_text
from videojam.motion.code import MotionCode
from videojam.provenance import versions_of
from videojam.training.config import TrainConfig
from videojam.training.run import train
from videojam.training.state import TrainRun
from videojam.training.step import step
from videojam.world import WorldConfig

BATCH, RATE = 4, 1e-5
NUM_CLIPS, PIXEL_PX = 17, 16


def prepared(folder: Path, base: Path) -> dict[str, Any]:
    """Prepare clips of the world, and return the recipe's data."""
    source = WorldSource(num_clips=NUM_CLIPS, world=WorldConfig(num_frames=9, pixel_px=PIXEL_PX))
    side = source.width
    settings = PrepareSettings(
        clips=ClipSettings(buckets=(parse_bucket(f"9x{side}x{side}"),), fps=source.fps),
        motion=MotionCode(estimator="exact"),
        max_sequence_length=64,
    )
    prepare_folder(PrepareRequest(source, folder, str(base), settings), say=lambda line: None)
    return {"source": {"kind": "prepared", "path": str(folder)}, "num_heldout": 1, "max_sequence_length": 64}


class _HereError(Exception):
    """The run is built."""


def run_of(config: TrainConfig) -> TrainRun:
    """Return what `train` trains, as it is before its first step."""
    found: list[TrainRun] = []

    def keep(run: TrainRun, *rest: Any) -> None:
        found.append(run)
        raise _HereError

    with patch("videojam.training.run.train_steps", keep), contextlib.suppress(_HereError):
        train(config)
    found[0].__dict__.pop("batches", None)  # closed when `train` was left
    return found[0]


def minimal(base: Path, run: TrainRun) -> Callable[[], None]:
    """Return a step of a loop as one writes it by hand: the stock model, flow matching, AdamW."""
    from diffusers import WanTransformer3DModel

    from videojam.data.encoded import read_batch

    clips = read_batch(run.clips, "cpu")
    latents, text = clips.x, clips.text["encoder_hidden_states"]
    model = WanTransformer3DModel.from_pretrained(base / "transformer").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)

    def one() -> None:
        rows = torch.randint(len(latents), (BATCH,), generator=generator)
        x = latents[rows]
        t = torch.sigmoid(torch.randn(BATCH, generator=generator)).view(-1, 1, 1, 1, 1)
        noise = torch.randn(x.shape, generator=generator)
        v = model(
            hidden_states=t * x + (1 - t) * noise,
            timestep=1000 * (1 - t).flatten(),
            encoder_hidden_states=text[rows],
            return_dict=False,
        )[0]
        loss = torch.nn.functional.mse_loss(v, noise - x)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return one


def timed(
    sides: dict[str, Callable[[], None]], rounds: int, steps: int
) -> dict[str, list[tuple[float, float]]]:
    """Return (CPU seconds, wall seconds) a step of each side in each round."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(steps):
                sides[name]()
            if number:  # the first round warms up
                found[name].append(
                    ((time.process_time() - cpu) / steps, (time.perf_counter() - wall) / steps)
                )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "training_step.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_random_wan(folder / "base", num_heads=6, head_dim=64, ffn_dim=1536, num_layers=6)
        recipe = {
            "base": str(folder / "base"),
            "data": {
                "source": {
                    "kind": "world",
                    "num_clips": NUM_CLIPS,
                    "world": {"num_frames": 9, "pixel_px": PIXEL_PX},
                },
                "cache": str(folder / "cache"),
                "num_heldout": 1,
                "max_sequence_length": 64,
            },
            "motion": {"estimator": "exact"},
            "optimizer": {"learning_rate": RATE},
            "num_steps": 10**6,
            "batch_size": BATCH,
            "precision": "fp32",
            "ema_decay": 0.0,
            "trackers": [],
        }
        runs = {
            method: run_of(
                TrainConfig.model_validate({**recipe, "method": method, "out": str(folder / method)})
            )
            for method in ("plain", "videojam")
        }
        own = {key: value for key, value in recipe.items() if key != "motion"}  # the folder's is taken
        data = prepared(folder / "prepared", folder / "base")
        runs["prepared"] = run_of(
            TrainConfig.model_validate({**own, "data": data, "out": str(folder / "of_prepared")})
        )
        sides: dict[str, Callable[[], None]] = {"minimal": minimal(folder / "base", runs["plain"])}
        sides |= {method: lambda run=run: step(run, RATE) for method, run in runs.items()}  # type: ignore[misc]
        for run in runs.values():
            run.meter.begin()
        found = timed(sides, args.rounds, args.steps)
        waiting = {method: run.meter.lap(0)["data_share"] for method, run in runs.items()}
        tokens = runs["plain"].meter.work[runs["plain"].buckets[0]].tokens
        for run in runs.values():
            run.batches.close()

    def ratio(one: str, other: str, which: int) -> float:
        pairs = zip(found[one], found[other], strict=True)
        return round(statistics.median(a[which] / b[which] for a, b in pairs), 4)

    result = {
        "date": datetime.date.today().isoformat(),
        "command": "python benchmarks/training_step.py",
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}, one thread",
        "versions": versions_of(("torch", "diffusers")),
        "tokens_of_a_clip": tokens,
        "clips_of_a_step": BATCH,
        "rounds": args.rounds,
        "steps_of_a_round": args.steps,
        "median_step_s": {
            name: {
                "cpu": round(statistics.median(cpu for cpu, _ in times), 4),
                "wall": round(statistics.median(wall for _, wall in times), 4),
            }
            for name, times in found.items()
        },
        "joint / plain": {"cpu": ratio("videojam", "plain", 0), "wall": ratio("videojam", "plain", 1)},
        "plain / minimal": {"cpu": ratio("plain", "minimal", 0), "wall": ratio("plain", "minimal", 1)},
        "share_of_waiting_for_data": waiting,
        "load": [round(load, 1) for load in os.getloadavg()],
    }
    write_text(args.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
