"""A step of the study's base against the same step through the training loop of recipes, on one CPU thread or a GPU.

    python benchmarks/study_step.py [--batch-size 32] [--device cuda] [--out benchmarks/results/study_step.json]

Both train the same stock transformer on clips of the same world and size, in float32 with Muon for the blocks'
matrices, AdamW for the rest, clipping and averaging, and take turns (A B A B). The study draws its clips anew in each
step, as tensors, and orthogonalises the matrices of one shape at once; the loop reads encoded clips from its cache, a
file each, draws on the host and calls torch's Muon, a matrix at a time. On a CPU, seconds are of CPU time of the
process, threads that read ahead included, so that other work on the machine does not count; on a GPU, of the clock for
`NUM_TOGETHER` steps, both in bf16, the study's captured as one CUDA graph.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from studies.premise.arm import Arm
from studies.premise.config import ArmConfig, StudyConfig, TrainConfig
from studies.premise.graph import Runner
from studies.premise.model import make_base
from studies.premise.testbed import Bed, generator_of, make_testbed
from videojam.data.cache import write_encoded
from videojam.data.encoded import EncodedClip
from videojam.families import family_of
from videojam.files import write_text
from videojam.objective.denoiser import Denoiser
from videojam.training.config import TrainConfig as Recipe
from videojam.training.speed import Meter
from videojam.training.state import TrainRun
from videojam.training.step import step
from videojam.training.trainable import build_state, mark_trainable
from videojam.training.votes import Votes

NUM_ROUNDS, NUM_CLIPS, RATE = 5, 256, 2e-3
NUM_TOGETHER = 20
"""Steps that are timed together on a GPU, where a step is queued before it is done."""


def study_step(config: StudyConfig, bed: Bed) -> Callable[[], None]:
    """Return a step of the study's base."""
    arm = Arm(ArmConfig(name="base"), bed, make_base(config.model, config.seed))
    if bed.device.type == "cuda":
        runner = Runner(arm, compiled=False)
        return lambda: runner.advance(RATE)

    def run() -> None:
        arm.set_step(arm.num_steps + 1, RATE)
        arm.step()

    return run


def loop_run(config: StudyConfig, bed: Bed, folder: Path) -> TrainRun:
    """Return what the loop of recipes needs for the same model, batch size and kind of clips."""
    train = config.train
    source = {"kind": "folder", "path": folder, "num_frames": 9, "height": 16, "width": 16, "fps": 4.0}
    recipe = Recipe.model_validate(
        {
            "base": "the study's",
            "out": folder / "out",
            "method": "plain",
            "data": {"source": source, "cache": folder},
            "objective": {"text_dropout": train.text_dropout},
            "optimizer": {
                "name": "muon",
                "learning_rate": RATE,
                "betas": (0.9, 0.98),
                "clip_norm": train.clip,
            },
            "num_steps": 10**6,
            "batch_size": train.batch_size,
            "precision": "bf16" if bed.device.type == "cuda" else "fp32",
            "ema_decay": train.ema,
        }
    )
    model: Any = make_base(config.model, config.seed)
    model.to(bed.device)
    family = family_of(model)
    mark_trainable(model, family, None)
    denoiser = Denoiser(model, family, False, {"encoder_hidden_states": bed.texts[-1:]})
    state = build_state(recipe, model)
    meter = Meter(bed.device)
    accelerator = Accelerator(cpu=bed.device.type == "cpu")
    return TrainRun(recipe, accelerator, denoiser, state, {}, clips_of(bed, folder), [], Votes(), meter)


def clips_of(bed: Bed, folder: Path) -> list[EncodedClip]:
    """Write encoded clips as the loop's cache has them."""
    drawn = bed.clips(NUM_CLIPS, generator_of(bed.device, "clips of the loop"))
    x, d = (latents.cpu() for latents in bed.latents(drawn))
    found = []
    for i in range(NUM_CLIPS):
        path = folder / f"{i:04d}.safetensors"
        tensors = {
            "x": x[i].half(),
            "d": d[i].half(),
            "text.encoder_hidden_states": bed.texts[drawn.caption[i]].cpu(),
        }
        write_encoded(path, tensors, {"name": path.stem, "caption": ""})
        found.append(EncodedClip(path.stem, "", path))
    return found


def seconds_of(call: Callable[[], None], device: torch.device) -> float:
    """Return the CPU time of a call, of all threads; on a GPU the clock's time of a call among several."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(NUM_TOGETHER):
            call()
        torch.cuda.synchronize()
        return (time.perf_counter() - started) / NUM_TOGETHER
    started = time.process_time()
    call()
    return time.process_time() - started


def measure(batch_size: int, device: torch.device) -> dict[str, object]:
    """Time both steps in turns."""
    config = StudyConfig(train=TrainConfig(batch_size=batch_size))
    bed = make_testbed(config, device)
    with tempfile.TemporaryDirectory() as folder:
        run = loop_run(config, bed, Path(folder))
        calls = {"study": study_step(config, bed), "loop": lambda: step(run, RATE)}
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        with closing(run.batches):
            for call in calls.values():
                call()  # the first step allocates
            for _ in range(NUM_ROUNDS):
                for name, call in calls.items():
                    seconds[name].append(seconds_of(call, device))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "batch_size": batch_size,
        "seconds": {name: [round(value, 5) for value in values] for name, values in seconds.items()},
        "median": {name: round(value, 5) for name, value in medians.items()},
        "loop_over_study": round(medians["loop"] / medians["study"], 2),
    }


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--batch-size", type=int, nargs="*", default=[4, 32], help="Clips a step, each in turn."
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/study_step.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "machine": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "rows": [measure(size, torch.device(options.device)) for size in options.batch_size],
    }
    print(json.dumps(result, indent=1))
    write_text(options.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
