"""Zoom-out study (the counterpart of Fig. 7a): is motion lost where the moving parts are small?

    python -m studies.controlled.zoom [--clips 32] [--arms benchmarks/results/tiny_arms.jsonl]

Clips are put into thirds by the size of their parts, within each kind. Three questions:

codes      exact flow drawn in several motion codes, through the shipped autoencoder, and decoded: which code keeps
           the motion of small parts?
vae        does the autoencoder keep clips of small parts coherent?
generated  are generated clips of small parts coherent less often? Size is read from the clip itself there, so a clip
           that lost a part counts as one of small parts.

Writes benchmarks/results/zoom.json and prints its tables.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studies.tiny.measure import TEST_SEED, read_rows, seeds_of, through_autoencoder
from studies.tiny.tiny_world import TINY_WORLD
from videojam.evaluation.intervals import bootstrap_mean, share
from videojam.files import write_text
from videojam.models.load import load_model
from videojam.motion.code import MotionCode
from videojam.motion.flow import decode_motion_video, motion_video
from videojam.world import KINDS, WorldClip, sample_clip

RESULTS = Path("benchmarks/results")
THIRDS = ("small", "middle", "large")
CODES = {
    "s 0.06, square root (shipped)": MotionCode(style="value", scale=0.06, curve="sqrt"),
    "s 0.06, linear": MotionCode(style="value", scale=0.06, curve="linear"),
    "s 0.06, logarithm": MotionCode(style="value", scale=0.06, curve="log"),
    "s 0.15, linear (the paper's)": MotionCode(style="value", scale=0.15, curve="linear"),
    "s 0.15, square root": MotionCode(style="value", scale=0.15, curve="sqrt"),
    "s 0.15, logarithm": MotionCode(style="value", scale=0.15, curve="log"),
}


def thirds(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Put rows with `kind` and `size` into thirds by size, within each kind."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in THIRDS}
    by_kind = defaultdict(list)
    for row in rows:
        by_kind[row["kind"]].append(row)
    for mine in by_kind.values():
        mine.sort(key=lambda row: row["size"])
        for name, part in zip(THIRDS, np.array_split(np.arange(len(mine)), len(THIRDS)), strict=True):
            found[name] += [mine[i] for i in part]
    return found


def part_size(clip: WorldClip) -> float:
    """Return the share of the frames that moving parts cover."""
    return float(clip.moving.float().mean())


@torch.no_grad()
def code_errors(num_clips: int) -> dict[str, dict[str, Any]]:
    """Flow error on moving parts as a share of their speed, by code and third."""
    model = load_model("tiny:base")
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in CODES}
    for kind, seed in seeds_of(num_clips):
        clip = sample_clip(seed, TINY_WORLD, kind)
        moving = clip.moving[:-1]
        speed = clip.flow.norm(dim=1)[moving].mean()
        for name, code in CODES.items():
            (decoded,) = through_autoencoder(model, motion_video(clip.flow, code)[None])
            error = (decode_motion_video(decoded, code) - clip.flow).norm(dim=1)[moving].mean()
            rows[name].append({"kind": kind, "size": part_size(clip), "error": float(error / speed)})
    return {
        name: {
            third: asdict(bootstrap_mean(np.array([row["error"] for row in part])))
            for third, part in {**thirds(mine), "all": mine}.items()
        }
        for name, mine in rows.items()
    }


def coherent_by_size(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Share of coherent clips by third, with the mean size of the parts."""
    return {
        third: asdict(share(sum(row["coherent"] for row in part), len(part)))
        | {"size": float(np.mean([row["size"] for row in part]))}
        for third, part in thirds(rows).items()
    }


def with_true_size(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"size": part_size(sample_clip(row["seed"], TINY_WORLD, row["kind"]))} for row in rows]


def table(title: str, rows: dict[str, dict[str, Any]], digits: int = 0) -> list[str]:
    lines = [f"| {title} | {' | '.join(f'{third} parts' for third in THIRDS)} |", "|---|---|---|---|"]
    for name, found in rows.items():
        ends = [[100 * found[third][key] for key in ("mean", "low", "high")] for third in THIRDS]
        cells = [f"{mean:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})" for mean, low, high in ends]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=32, help="clips a kind for the codes")
    parser.add_argument("--arms", type=Path, default=RESULTS / "tiny_arms.jsonl")
    args = parser.parse_args()
    generated = defaultdict(list)
    for row in read_rows(args.arms):
        size = row["appearance"]["part_area_share"]
        if np.isfinite(size):
            generated[row["arm"]].append(row | {"size": size})
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "clips": {"first_seed": TEST_SEED, "codes": args.clips * len(KINDS)},
        "codes": code_errors(args.clips),
        "vae": {"truth": coherent_by_size(with_true_size(read_rows(RESULTS / "tiny_vae.jsonl")))},
        "generated": {arm: coherent_by_size(rows) for arm, rows in generated.items()},
    }
    write_text(RESULTS / "zoom.json", json.dumps(result, indent=1) + "\n")
    lines = table("flow error, % of the speed", result["codes"], 1)
    lines += table("through the autoencoder, % coherent", result["vae"])
    lines += table("generated, % coherent", result["generated"])
    print("\n".join(lines))


if __name__ == "__main__":
    main()
