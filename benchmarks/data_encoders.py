"""Peak memory of `videojam data prepare`: that of the largest encoder, not of their sum.

    python benchmarks/data_encoders.py [--out benchmarks/results/data_encoders.json]

A pipeline of the parts of Wan2.1-T2V-1.3B with random weights: its own autoencoder (508 MB), and a text encoder and a
transformer of about a twentieth and a fifth of the real ones. Preparing is compared with each encoder in a process that
does nothing but load it and encode, and with the pipeline loaded as a whole; what imports take is subtracted. All of it
twice: as glibc keeps freed memory by default, and where it gives each freed tensor back at once.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from data_prepare import CODE, FPS, in_process, peak_mib, write_clips
from random_wan import SMALL_TEXT, write_random_wan

from videojam.data.latents import DrawnClip, encode_pixels
from videojam.data.prepare.folder import prepare_folder
from videojam.data.prepare.request import PrepareRequest
from videojam.data.settings import ClipSettings, PrepareSettings, parse_bucket
from videojam.files import write_text
from videojam.models.encoders import pixel_hashes
from videojam.models.load import load_model, quiet_loading
from videojam.models.outline import loaded_encoders, outline

BUCKET = "5x128x128"
PARTS = ("text_encoder", "vae", "transformer")
HEAPS = {"glibc's heap": {}, "without its holes": {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}}
"""By default glibc keeps freed tensors of up to 32 MiB in a heap with holes, one for each thread."""


def write_stand_in(folder: Path) -> dict[str, float]:
    """Write the pipeline; return the MiB of its parts as they are stored."""
    text = SMALL_TEXT | {"d_model": 1024, "d_ff": 2816, "num_layers": 24, "num_heads": 16, "d_kv": 64}
    write_random_wan(folder, 12, 128, 8960, 6, text=text, text_dtype=torch.bfloat16, autoencoder={})
    return {
        name: sum(file.stat().st_size for file in (folder / name).glob("*.safetensors")) / 2**20
        for name in PARTS
    }


def measured(what: str, base: Path, source: Path) -> None:
    """Be a process whose peak memory is measured."""
    if what == "prepare":
        out = source.with_name("out")
        shutil.rmtree(out, ignore_errors=True)  # of the other heap
        clips = ClipSettings(buckets=(parse_bucket(BUCKET),), fps=FPS)
        settings = PrepareSettings(clips=clips, motion=CODE, max_sequence_length=32)
        prepare_folder(PrepareRequest(source, out, str(base), settings), say=lambda line: None)
    elif what == "text encoder":
        with loaded_encoders(base, "text") as model:
            model.family.encode_prompts(model.pipeline, ["a texture"], 32)
    elif what == "autoencoder":
        size = parse_bucket(BUCKET)
        video = torch.zeros(size.num_frames, 3, size.height, size.width, dtype=torch.uint8)
        with loaded_encoders(base, "pixels") as model:
            pixel_hashes(
                model.pipeline
            )  # preparing takes it, too: it reads pages of the decoder, which encoding doesn't
            encode_pixels(model, [DrawnClip("", "", video, video)], together=True)
    elif what == "whole pipeline":
        load_model(str(base))
    else:
        from diffusers import AutoencoderKLWan, WanPipeline  # noqa: F401
        from transformers import UMT5EncoderModel  # noqa: F401

        outline(base)
    print(json.dumps({"peak_mib": peak_mib()}))


def compare() -> dict[str, Any]:
    """Measure preparing, and loading the pipeline as a whole."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sizes = write_stand_in(root / "base")
        write_clips(root / "clips", 2, (128, 128), 5)
        places = root / "base", root / "clips"
        used = {name: peaks(places, environment) for name, environment in HEAPS.items()}
    return {
        "weights_mib": sizes,
        "peak_above_imports_mib": used,
        "prepare_over_largest_encoder": {name: over(peak, max) for name, peak in used.items()},
        "prepare_over_sum_of_encoders": {name: over(peak, sum) for name, peak in used.items()},
    }


def peaks(places: tuple[Path, Path], environment: dict[str, str]) -> dict[str, float]:
    """Return the peaks of processes above that of one that only imports."""

    def peak(what: str) -> float:
        return in_process(what, *places, script=__file__, environment=environment)["peak_mib"]

    imports = peak("imports")
    return {
        what: peak(what) - imports for what in ("text encoder", "autoencoder", "prepare", "whole pipeline")
    }


def over(used: dict[str, float], of: Callable[[tuple[float, float]], float]) -> float:
    """Return the peak of preparing over the larger one of both encoders, or over their sum."""
    return used["prepare"] / of((used["text encoder"], used["autoencoder"]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("process", nargs="*", help="what a process measures, and where")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    quiet_loading()
    if arguments.process:
        what, base, source = arguments.process
        measured(what, Path(base), Path(source))
        return
    found = {"date": datetime.date.today().isoformat(), "load_average": os.getloadavg()[0], **compare()}
    text = json.dumps(found, indent=1)
    print(text)
    if arguments.out:
        write_text(arguments.out, text + "\n")


if __name__ == "__main__":
    main()
