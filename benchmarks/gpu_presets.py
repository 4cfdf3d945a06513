"""Time, memory and MFU of the presets on one GPU: forward, training step (4B) and a step of Inner-Guidance.

    python benchmarks/gpu_presets.py [--presets dit-4b dit-30b] [--out benchmarks/results/gpu_presets.json]

One clip of the paper's size, 128 frames of 256×256 through an 8×8×8 autoencoder: latents 16×16×32×32, 4096 tokens;
random weights, bf16. MFU is the model's multiply-adds (counted by torch, attention included) over time, against the
rate of a large bf16 matrix product measured on the same GPU in the same run. Without CUDA it measures nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch.utils.flop_counter import FlopCounterMode

from videojam.families import family_of
from videojam.families.presets import PRESETS, build_preset
from videojam.files import write_text
from videojam.guidance.rules.inner import inner_guidance
from videojam.joint.latents import null_motion
from videojam.training.new_rate import new_entries, scaled_updates

LATENT = (16, 32, 32)
TEXT = (1, 512, 4096)
GIB = 2**30


def joint_transformer(preset: str, dtype: torch.dtype, **overrides: Any) -> Any:
    """Return a preset's joint transformer with random weights, drawn on the GPU in its own type."""
    base = build_preset(preset, **overrides)
    config = family_of(base).joint_config(dict(base.config))
    with torch.device("meta"):
        joint = type(base).from_config(config)
    for name, parameter in joint.named_parameters():
        if not set(name.split(".")) & set(joint._keep_in_fp32_modules):  # as from_pretrained does
            parameter.data = parameter.data.to(dtype)
    joint.to_empty(device="cuda")
    with torch.device("cuda"):
        joint.rope = type(joint.rope)(
            config["attention_head_dim"], config["patch_size"], config["rope_max_seq_len"]
        )
    generator = torch.Generator("cuda").manual_seed(0)
    with torch.no_grad():
        for parameter in joint.parameters():
            parameter.normal_(std=0.02, generator=generator)
    return joint


def inputs(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {
        "hidden_states": torch.randn(1, 32, *LATENT, device="cuda", dtype=dtype),
        "timestep": torch.tensor([500.0], device="cuda"),
        "encoder_hidden_states": torch.randn(*TEXT, device="cuda", dtype=dtype),
    }


def matrix_rate(size: int = 8192, num_runs: int = 20) -> float:
    """Return the measured rate of a bf16 matrix product, in FLOP/s (2 a multiply-add)."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / statistics.median(_times(lambda: a @ b, num_runs))


def measure(
    function: Callable[[], object], num_runs: int, rate: float, num_flop: float | None = None
) -> dict[str, float]:
    """Return median time, peak memory and MFU of a function; its FLOPs are counted if they aren't given."""
    with FlopCounterMode(display=False) as counter:
        function()
    torch.cuda.reset_peak_memory_stats()
    seconds = statistics.median(_times(function, num_runs))
    num_flop = num_flop or counter.get_total_flops()
    return {
        "median_s": seconds,
        "num_runs": num_runs,
        "peak_gib": torch.cuda.max_memory_allocated() / GIB,
        "tflop": num_flop / 1e12,
        "mfu": num_flop / seconds / rate,
    }


def _times(function: Callable[[], object], num_runs: int) -> list[float]:
    for _ in range(2):
        function()
    times = []
    for _ in range(num_runs):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return times


def measure_sampling(name: str, num_runs: int, rate: float, **overrides: int) -> dict[str, Any]:
    """Measure one forward and one step of Inner-Guidance (three forwards and Eq. 8), all in bf16."""
    joint = joint_transformer(name, torch.bfloat16, **overrides).eval()
    given = inputs(torch.bfloat16)
    null_text = given | {"encoder_hidden_states": torch.zeros_like(given["encoder_hidden_states"])}
    no_motion = given | {"hidden_states": null_motion(given["hidden_states"])}

    @torch.no_grad()
    def call(arguments: dict[str, torch.Tensor]) -> torch.Tensor:
        return joint(**arguments, return_dict=False)[0]

    def guided() -> torch.Tensor:
        return inner_guidance(call(given), call(null_text), call(no_motion), 5.0, 3.0)

    num_parameters = sum(p.numel() for p in joint.parameters())
    forward = measure(lambda: call(given), num_runs, rate)
    step = measure(guided, num_runs, rate)
    return {"parameters": num_parameters, "forward": forward, "inner_guidance_step": step}


def measure_training(
    name: str, num_runs: int, rate: float, num_flop: float, **overrides: int
) -> dict[str, Any]:
    """Measure a full step as the trainer takes it: fp32 weights, Adam, average; bf16 compute, recomputation.

    Args:
        name: Preset.
        num_runs: Timed steps.
        rate: Measured matrix rate in FLOP/s.
        num_flop: Of a step: three forwards; what is computed again in the backward pass doesn't count.
        overrides: As in `preset_config`.
    """
    joint = joint_transformer(name, torch.float32, **overrides).train()
    joint.enable_gradient_checkpointing()
    parameters = dict(joint.named_parameters())
    averages = [p.detach().clone() for p in parameters.values()]
    optimizer = torch.optim.AdamW(parameters.values(), lr=5e-6, fused=True)  # as the trainer on a GPU
    masks = new_entries(joint, family_of(joint))
    given = inputs(torch.float32)
    target = torch.randn_like(given["hidden_states"])

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            prediction = joint(**given, return_dict=False)[0]
        x, d = (prediction.float() - target).square().chunk(2, dim=1)
        (x.mean() + d.mean()).backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        with scaled_updates(parameters, masks, 10.0):
            optimizer.step()
        optimizer.zero_grad()
        torch._foreach_lerp_(averages, [p.detach() for p in parameters.values()], 1e-3)

    return measure(step, num_runs, rate, num_flop)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS), default=sorted(PRESETS))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--layers", type=int, help="fewer blocks, to try the script; not the preset any more")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu_presets.json"))
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("This measures on a GPU and there is no CUDA device here: nothing was measured or written.")
    overrides = {"num_layers": arguments.layers} if arguments.layers else {}
    rate = matrix_rate()
    figures = {}
    for name in arguments.presets:
        figures[name] = measure_sampling(name, arguments.runs, rate, **overrides)
        torch.cuda.empty_cache()
        if (
            name == "dit-4b"
        ):  # the 30B's 600 GiB of weights, gradients, moments and averages fit no single GPU
            num_flop = 3e12 * figures[name]["forward"]["tflop"]
            step = measure_training(name, arguments.runs, rate, num_flop, **overrides)
            figures[name]["training_step"] = step
            torch.cuda.empty_cache()
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": f"python {' '.join(sys.argv)}",
        "hardware": {"device": torch.cuda.get_device_name(), "matrix_tflop_s": rate / 1e12},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        },
        "latents": [16, *LATENT],
        "overrides": overrides,
        "presets": figures,
    }
    write_text(arguments.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
