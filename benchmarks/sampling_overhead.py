"""What sampling costs over the sum of its transformer forwards and its VAE decodes, in the same run.

    python benchmarks/sampling_overhead.py [--model FOLDER] [--out benchmarks/results/sampling_overhead.json]

`sample` is timed from call to decoded videos and flow. Inside it, every call of the transformer and of the
autoencoder's decoder is timed at its own `forward`, beneath the guidance hook; the rest is text encoding, the
scheduler, guidance arithmetic, and reading flow from the motion video. The goal is a total of at most 1.03
times the sum. Without --model, a random Wan pipeline of 100 M parameters with a small autoencoder is built.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import diffusers
import torch

from videojam.families import family_of
from videojam.files import write_text
from videojam.guidance.config import Guidance
from videojam.guidance.window import Window
from videojam.joint.widen import widen_transformer
from videojam.models.load import LoadedModel, load_model
from videojam.models.record import MotionRecord
from videojam.motion.code import MotionCode
from videojam.sampling.sample import sample

GOAL = 1.03


def random_joint_model(width: int, num_layers: int) -> LoadedModel:
    """Return a converted random Wan pipeline in memory; its autoencoder and text encoder are small."""
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.models import AutoencoderKLWan, WanTransformer3DModel
    from diffusers.pipelines import WanPipeline
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformer = WanTransformer3DModel(
        num_attention_heads=width // 64,
        attention_head_dim=64,
        in_channels=16,
        out_channels=16,
        text_dim=64,
        ffn_dim=4 * width,
        num_layers=num_layers,
    )
    pipe = WanPipeline(
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>"),
        text_encoder=UMT5EncoderModel(
            UMT5Config(vocab_size=3, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4)
        ).eval(),
        vae=AutoencoderKLWan(base_dim=16, z_dim=16, num_res_blocks=1).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=widen_transformer(transformer.eval()),
    )
    return LoadedModel(cast(Any, pipe), family_of(pipe), MotionRecord(motion=MotionCode(), base="random"))


@contextmanager
def timed(module: Any, name: str, device: str, spent: list[float]) -> Iterator[None]:
    """Add the seconds of every call of a method to a list."""
    own: Callable[..., Any] = getattr(module, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        synchronise(device)
        start = time.perf_counter()
        result = own(*args, **kwargs)
        synchronise(device)
        spent.append(time.perf_counter() - start)
        return result

    setattr(module, name, wrapper)
    try:
        yield
    finally:
        delattr(module, name)


def synchronise(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def one_run(model: LoadedModel, size: dict[str, Any], device: str) -> dict[str, float]:
    forwards: list[float] = []
    decodes: list[float] = []
    pipe = model.pipeline
    guidance = Guidance(window=Window(end=1.0))
    with timed(pipe.transformer, "forward", device, forwards), timed(pipe.vae, "decode", device, decodes):
        start = time.perf_counter()
        sample(model, ["a red ball moves to the right"], guidance=guidance, **size)
        synchronise(device)
        total = time.perf_counter() - start
    assert len(forwards) == 3 * size["num_steps"]
    return {
        "total_s": total,
        "forwards_s": sum(forwards),
        "decodes_s": sum(decodes),
        "ratio": total / (sum(forwards) + sum(decodes)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="joint pipeline folder")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--side", type=int, default=128, help="height and width in px")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/sampling_overhead.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.model:
        model = load_model(arguments.model, device=arguments.device)
    else:
        model = random_joint_model(arguments.width, arguments.layers)
        model.pipeline.to(arguments.device)
    size = {
        "num_frames": arguments.frames,
        "height": arguments.side,
        "width": arguments.side,
        "num_steps": arguments.steps,
    }
    one_run(model, {**size, "num_steps": 1}, arguments.device)
    runs = [one_run(model, size, arguments.device) for _ in range(arguments.repeats)]
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": f"python benchmarks/sampling_overhead.py --threads {arguments.threads}"
        + (f" --model {Path(arguments.model).name}" if arguments.model else ""),
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "device": arguments.device},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        },
        "parameters": sum(p.numel() for p in model.pipeline.transformer.parameters()),
        **size,
        "goal": f"ratio_median <= {GOAL}",
        "ratio_median": statistics.median(run["ratio"] for run in runs),
        "ratio_range": [min(run["ratio"] for run in runs), max(run["ratio"] for run in runs)],
        "runs": runs,
    }
    write_text(arguments.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
