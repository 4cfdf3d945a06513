"""What our sampling loop costs over the stock pipeline's, for each family, same model and same forwards.

    python benchmarks/families_overhead.py [--family NAME ...] [--pairs 20] [--steps 4] [--threads 1]

For each family, the random tiny pipeline of the tests is given a transformer of real work, converted in memory,
and sampled by its own stock call and by `videojam.sampling.sample` under the guidance hook in mode `cfg`: the
same noise, steps and number of forwards, so that the final latents are equal, which is checked. The two are
timed in turn, A B A B, after one run of each that isn't counted; drawing the noise is inside both, and neither
decodes. The figure is the median of ours/stock over the pairs, in wall-clock time, with a bootstrap interval, and
in the process's own CPU time, which other work on the machine disturbs less. The goal is at most 1.02.

The result file is written after every pair and read again at the start: an interrupted measurement goes on where
it stopped, and one with other settings, versions or hardware starts its families anew.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image
from torch import Tensor

from videojam.families import family_of
from videojam.files import write_text
from videojam.guidance.config import Guidance
from videojam.joint.widen import widen_transformer
from videojam.models.load import LoadedModel, load_model
from videojam.models.record import MotionRecord
from videojam.motion.code import MotionCode
from videojam.sampling.request import draw_noise
from videojam.sampling.sample import sample

GOAL = 1.02
PROMPT = "a red ball moves to the right"
SEED = 3
TEXT_LENGTH = 32
SCALE = 6.0
ROOT = Path(__file__).parent.parent


def from_tests(name: str, file: str) -> Any:
    """Import a module of the tests, which are no package."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


wan = from_tests("tiny_pipelines", "tiny.py")
others = from_tests("tiny_families", "tiny_families.py")


@dataclass(frozen=True)
class Row:
    """One family.

    Attributes:
        write: Writes the tests' tiny pipeline.
        config: Keys of its transformer that make a forward real work.
        frames: Frames of the clip.
        side: Height and width in px.
        stock: Arguments of the stock call for guidance; the text length too, where it takes one.
        has_image: Whether the stock call takes a first frame.
    """

    write: Callable[[Path], Path]
    config: dict[str, Any]
    frames: int = 9
    side: int = 128
    stock: dict[str, Any] = field(
        default_factory=lambda: {"guidance_scale": SCALE, "max_sequence_length": TEXT_LENGTH}
    )
    has_image: bool = False


HEADS = {"num_attention_heads": 8, "attention_head_dim": 64, "num_layers": 8}
ROPE = {"rope_axes_dim": (16, 24, 24)}
WAN = {**HEADS, "ffn_dim": 2048}
COG = {**HEADS, "time_embed_dim": 512, "max_text_seq_length": TEXT_LENGTH}
COG_15 = {**COG, "sample_height": 24, "sample_width": 24}
TRUE_CFG = {"true_cfg_scale": SCALE, "guidance_scale": SCALE, "negative_prompt": [""]}

ROWS = {
    "wan": Row(wan.write_tiny_wan, WAN),
    "wan-i2v": Row(partial(wan.write_tiny_wan, image=True), WAN, has_image=True),
    "cogvideox": Row(partial(others.write_tiny_cogvideox, rotary=True, dpm=True), COG),
    "cogvideox-1.5": Row(partial(others.write_tiny_cogvideox, padded=True), COG_15, side=192),
    "ltx": Row(others.write_tiny_ltx, {**HEADS, "cross_attention_dim": 512}, side=384),
    "mochi": Row(others.write_tiny_mochi, {**HEADS, "pooled_projection_dim": 512}, frames=13),
    "hunyuan-video": Row(
        others.write_tiny_hunyuan_video,
        {**HEADS, **ROPE, "num_layers": 3, "num_single_layers": 4},
        stock={**TRUE_CFG, "max_sequence_length": TEXT_LENGTH},
    ),
    "hunyuan-video-1.5": Row(others.write_tiny_hunyuan_video15, {**HEADS, **ROPE, "num_layers": 4}, stock={}),
}


def joint_model(row: Row) -> LoadedModel:
    """Return the row's pipeline with a larger transformer, converted in memory."""
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(row.write(Path(folder) / "base"))
    pipe = model.pipeline
    torch.manual_seed(0)
    transformer = type(pipe.transformer).from_config({**pipe.transformer.config, **row.config}).eval()
    if hasattr(transformer, "pos_frequencies"):  # Mochi's are zero until they are loaded
        torch.nn.init.normal_(transformer.pos_frequencies)
    pipe.register_modules(transformer=widen_transformer(transformer))
    pipe.set_progress_bar_config(disable=True)
    if "max_sequence_length" not in row.stock:
        pipe.tokenizer_max_length = TEXT_LENGTH  # HunyuanVideo 1.5 has an attribute for it
    return LoadedModel(pipe, family_of(pipe), MotionRecord(motion=MotionCode(), base="random"))


def samplers(model: LoadedModel, row: Row, num_steps: int) -> dict[str, Callable[[], Tensor]]:
    """Return the stock call and ours, as functions that sample the latents of one clip."""
    size = {"num_frames": row.frames, "height": row.side, "width": row.side}
    pipe, family = model.pipeline, model.family
    first = Image.linear_gradient("L").resize((row.side, row.side)).convert("RGB") if row.has_image else None
    image = {} if first is None else {"image": first}
    guidance = Guidance(mode="cfg", w_text=SCALE - 1)

    def stock() -> Tensor:
        noise = draw_noise(model, [SEED], row.frames, row.side, row.side)
        latents = family.pack(pipe.transformer, noise)
        options = {**size, **row.stock, **image, "num_inference_steps": num_steps}
        generator = [torch.Generator().manual_seed(SEED)]
        out = pipe(prompt=[PROMPT], latents=latents, generator=generator, output_type="latent", **options)
        return family.unpack(pipe.transformer, out.frames, noise)

    def ours() -> Tensor:
        options: dict[str, Any] = {**size, "num_steps": num_steps, "max_sequence_length": TEXT_LENGTH}
        return sample(
            model, [PROMPT], seeds=SEED, guidance=guidance, image=first, decode=False, **options
        ).latents

    return {"stock": stock, "ours": ours}


def seconds(function: Callable[[], Tensor]) -> tuple[float, float]:
    """Return (wall-clock, CPU) seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def counted(transformer: torch.nn.Module, function: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """Return what a sampler returns, and how often it called the transformer."""
    calls: list[int] = []
    with transformer.register_forward_pre_hook(lambda *_: calls.append(1)):
        return function(), len(calls)


def checked(model: LoadedModel, arms: dict[str, Callable[[], Tensor]]) -> dict[str, Any]:
    """Run both once, uncounted; refuse to compare what differs in forwards or result."""
    transformer = model.pipeline.transformer
    (stock, num_stock), (ours, num_ours) = (counted(transformer, arms[name]) for name in ("stock", "ours"))
    assert num_stock == num_ours, (num_stock, num_ours)
    difference = ((stock.float() - ours).abs().max() / stock.float().std()).item()
    is_random = isinstance(model.pipeline.scheduler, diffusers.CogVideoXDPMScheduler)
    assert is_random or difference < 1e-4, difference  # DPM draws noise for d apart from x's in our loop
    return {
        "parameters": sum(p.numel() for p in transformer.parameters()),
        "num_forwards": num_ours,
        "max_difference": None if is_random else difference,
    }


def summary(pairs: list[dict[str, float]]) -> dict[str, Any]:
    """Return the medians of ours/stock, and a 95 % bootstrap interval of the wall-clock one."""
    ratios = [pair["ours_s"] / pair["stock_s"] for pair in pairs]
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(2000))
    median = statistics.median(ratios)
    return {
        "ratio_median": median,
        "ratio_95": [medians[50], medians[1949]],
        "cpu_ratio_median": statistics.median(pair["ours_cpu_s"] / pair["stock_cpu_s"] for pair in pairs),
        "ratio_of_fastest": min(p["ours_s"] for p in pairs) / min(p["stock_s"] for p in pairs),
        "stock_median_s": statistics.median(pair["stock_s"] for pair in pairs),
        "num_pairs": len(pairs),
        "meets_goal": median <= GOAL,
    }


def setting(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return all that a resumed measurement must share with what was measured before."""
    return {
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "device": cpu_name()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        },
        "threads": arguments.threads,
        "num_steps": arguments.steps,
        "goal": f"ratio_median <= {GOAL}",
    }


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "cpu")


def read_result(path: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Return the result so far, or an empty one if there is none of this setting."""
    if path.is_file():
        result = json.loads(path.read_text())
        if all(result.get(name) == value for name, value in expected.items()):
            return result
    return {**expected, "families": {}}


def measure(name: str, arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    """Add pairs of one family until it has as many as asked, writing after each."""
    row, done = ROWS[name], result["families"].get(name, {})
    pairs = done.get("pairs", [])
    if len(pairs) >= arguments.pairs:
        print(f"{name}: {len(pairs)} pairs already")
        return
    model = joint_model(row)
    arms = samplers(model, row, arguments.steps)
    facts = checked(model, arms)
    while len(pairs) < arguments.pairs:
        (stock_s, stock_cpu_s), (ours_s, ours_cpu_s) = seconds(arms["stock"]), seconds(arms["ours"])
        pairs.append(
            {"stock_s": stock_s, "ours_s": ours_s, "stock_cpu_s": stock_cpu_s, "ours_cpu_s": ours_cpu_s}
        )
        size = {"num_frames": row.frames, "side_px": row.side}
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        result["families"][name] = {"date": date, **facts, **size, **summary(pairs), "pairs": pairs}
        write_text(arguments.out, json.dumps(result, indent=2) + "\n")
    line = result["families"][name]
    low, high = line["ratio_95"]
    print(
        f"{name}: {line['ratio_median']:.4f} ({low:.4f} to {high:.4f}), CPU {line['cpu_ratio_median']:.4f}, "
        f"{line['num_pairs']} pairs of {line['stock_median_s']:.2f} s",
        flush=True,
    )


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", action="append", choices=list(ROWS), help="one or more; all by default")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/families_overhead.json"))
    arguments = parser.parse_args(given)
    torch.set_num_threads(arguments.threads)
    result = read_result(arguments.out, setting(arguments))
    result["command"] = f"python benchmarks/families_overhead.py --threads {arguments.threads}"
    for name in arguments.family or ROWS:
        measure(name, arguments, result)


if __name__ == "__main__":
    main()
