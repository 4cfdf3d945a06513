"""A training step of the Wan 2.1 1.3B shape on one GPU, as the trainer takes it: time, memory, MFU, waits.

    python benchmarks/gpu_training.py [--frames 81 --height 480 --width 832] [--out FILE]

Random weights and one encoded clip of random latents; bf16 compute, checkpointed activations. Rows: full fine-tune
(float32 weights, AdamW, average) and LoRA over a bf16 base, each as VideoJAM and as the plain control, and a loop
written by hand around the same stock model, in turns (A B A B). MFU counts the operations of a forward and a backward
by torch's counter, what is computed again not counted, against a large bf16 product on the same GPU in the same run.
Waits for the device are those that torch's sync debug mode reports inside a step. Without CUDA it runs a small shape
and writes nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
from accelerate import Accelerator
from diffusers.models import WanTransformer3DModel

from videojam.data.cache import read_encoded, write_encoded
from videojam.data.encoded import EncodedClip
from videojam.families import family_of
from videojam.files import write_text
from videojam.joint.widen import widen_transformer
from videojam.objective.denoiser import Denoiser
from videojam.training.base_weights import matrices_to_bf16
from videojam.training.config import TrainConfig
from videojam.training.new_rate import new_entries
from videojam.training.speed import Meter, matrix_rate
from videojam.training.state import TrainRun
from videojam.training.step import step
from videojam.training.trainable import build_state, mark_trainable, set_up_steps
from videojam.training.votes import Votes

GIB = 2**30
WAN_1_3B = {
    "num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30, "in_channels": 16,
    "out_channels": 16, "text_dim": 4096, "freq_dim": 256,
}  # fmt: skip
SMALL = WAN_1_3B | {"num_attention_heads": 2, "ffn_dim": 256, "num_layers": 2}
RATE, NUM_WARM = 5e-6, 2
NOTICE = "is a prototype feature"
"""What torch says once of the mode itself."""


def make_run(
    shape: dict[str, Any], clip: EncodedClip, method: str, lora: bool, device: torch.device
) -> TrainRun:
    """Return a run of the trainer around a transformer with random weights."""
    recipe = TrainConfig.model_validate(
        {
            "base": "random weights",
            "out": clip.path.parent / "out",
            "method": method,
            "data": {
                "source": {
                    "kind": "folder", "path": clip.path.parent,
                    "num_frames": 9, "height": 16, "width": 16, "fps": 16,
                },
                "cache": clip.path.parent,
            },
            "lora": {"rank": 32} if lora else None,
            "num_steps": 10**6,
            "gradient_checkpointing": True,
        }
    )  # fmt: skip
    with device:
        model: Any = WanTransformer3DModel(**shape)
    is_joint = method == "videojam"
    if is_joint:
        model = widen_transformer(model)
    family = family_of(model)
    if lora:
        matrices_to_bf16(model, family)
    mark_trainable(model, family, recipe.lora)
    model.to(device)
    set_up_steps(recipe, model)
    null = {"encoder_hidden_states": torch.zeros(1, 512, shape["text_dim"], device=device)}
    denoiser = Denoiser(model, family, is_joint, null)
    masks = new_entries(model, family) if is_joint else {}
    accelerator = Accelerator(cpu=device.type == "cpu")
    meter = Meter(device)
    return TrainRun(
        recipe, accelerator, denoiser, build_state(recipe, model), masks, [clip], [], Votes(), meter
    )


def hand_written(shape: dict[str, Any], clip: EncodedClip, device: torch.device) -> Callable[[], None]:
    """Return the plain step that a user would write: noise, forward, loss, clipping, AdamW, average."""
    with device:
        model: Any = WanTransformer3DModel(**shape)
    model.train().enable_gradient_checkpointing()
    parameters = list(model.parameters())
    averages = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, fused=device.type == "cuda")
    stored = read_encoded(clip.path)
    x = stored["x"][None].float().to(device)
    text = stored["text.encoder_hidden_states"][None].float().to(device)

    def call() -> None:
        sigma = torch.rand(1, device=device)
        noise = torch.randn_like(x)
        with torch.autocast(device.type, torch.bfloat16):
            out = model(
                x.lerp(noise, sigma), timestep=1000 * sigma, encoder_hidden_states=text, return_dict=False
            )[0]
        (out.float() - (noise - x)).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        torch._foreach_lerp_(averages, [p.detach() for p in parameters], 1e-3)

    return call


def measured(call: Callable[[], None], device: torch.device) -> float:
    """Return the seconds of a call, the device's work included."""
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def waits_in(call: Callable[[], None]) -> list[str]:
    """Return where a call waits for the device, by torch's sync debug mode."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        call()
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    found = [w for w in caught if "synchroniz" in str(w.message).lower() and NOTICE not in str(w.message)]
    return [f"{Path(w.filename).name}:{w.lineno}" for w in found]


def pair(
    calls: dict[str, Callable[[], None]], num_rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Time calls in turns."""
    for call in calls.values():
        for _ in range(NUM_WARM):
            measured(call, device)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(num_rounds):
        for name, call in calls.items():
            seconds[name].append(measured(call, device))
    return seconds


def row_of(
    shape: dict[str, Any], clip: EncodedClip, lora: bool, num_rounds: int, rate: float, device: torch.device
) -> dict[str, Any]:
    """Measure VideoJAM, the control, and of a full fine-tune the loop written by hand."""
    row: dict[str, Any] = {}
    runs = {method: make_run(shape, clip, method, lora, device) for method in ("videojam", "plain")}
    with closing(runs["videojam"].batches), closing(runs["plain"].batches):
        calls: dict[str, Callable[[], None]] = {name: partial(step, run, RATE) for name, run in runs.items()}
        if not lora:
            calls["by hand"] = hand_written(shape, clip, device)
        for name, call in calls.items():
            call()
            if device.type != "cuda":
                continue
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            call()
            torch.cuda.synchronize()
            row[name] = {"peak_of_step_gib": (torch.cuda.max_memory_allocated() - before) / GIB}
            if name in runs:
                row[name]["waits"] = waits_in(call)
        seconds = pair(calls, num_rounds, device)
        for name, values in seconds.items():
            row.setdefault(name, {}).update({"seconds": values, "median_s": statistics.median(values)})
        for name, run in runs.items():
            flops = float(next(iter(run.meter.work.values())).flops)
            row[name]["tflop"] = flops / 1e12
            row[name]["mfu"] = flops / row[name]["median_s"] / rate
            held = sum(
                t.numel() * t.element_size()
                for t in [*cast(Any, run.denoiser.transformer).parameters(), *run.state.tensors().values()]
            )
            row[name]["held_gib"] = held / GIB
            row[name]["parameters"] = sum(p.numel() for p in cast(Any, run.denoiser.transformer).parameters())
    row["joint_over_plain"] = row["videojam"]["median_s"] / row["plain"]["median_s"]
    if "by hand" in row:
        row["plain_over_by_hand"] = row["plain"]["median_s"] / row["by hand"]["median_s"]
    return row


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=832)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu_training.json"))
    options = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    shape = WAN_1_3B if on_gpu else SMALL
    latent = (1 + (options.frames - 1) // 4, options.height // 8, options.width // 8)
    rate = matrix_rate(device, torch.bfloat16)
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "command": "python benchmarks/gpu_training.py",
        "hardware": {
            "device": torch.cuda.get_device_name() if on_gpu else platform.machine(),
            "matrix_tflop_s": rate / 1e12,
        },
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
        "latents": [16, *latent],
        "tokens": latent[0] * (latent[1] // 2) * (latent[2] // 2),
        "rows": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.safetensors"
        tensors = {name: torch.randn(16, *latent).half() for name in ("x", "d")}
        tensors["text.encoder_hidden_states"] = torch.randn(512, shape["text_dim"]).half()
        write_encoded(path, tensors, {"name": "clip", "caption": ""})
        clip = EncodedClip("clip", "", path)
        for name, lora in (("LoRA, rank 32, bf16 base", True), ("full, fp32 weights", False)):
            result["rows"][name] = row_of(shape, clip, lora, options.rounds, rate, device)
            print(json.dumps({name: result["rows"][name]}, indent=1), flush=True)
            if on_gpu:
                torch.cuda.empty_cache()
                write_text(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
