"""Measure the shipped pipelines and write benchmarks/results/tiny.json (and per-clip rows beside it).

    python -m studies.tiny.measure [--clips 64] [--stage vae|motion|arms|summary ...]

vae      ground truth through the autoencoder: coherence by kind, and the decoded flow's error on moving parts
motion   is motion used: appearance loss with true, null and another clip's d, by t
arms     base, control, VideoJAM: a bench on the world suite, whose clips lie in runs/tiny/bench
summary  the tables, from the rows of the stages before
Each stage resumes: rows that exist are not measured again.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studies.tiny.tiny_world import TINY_WORLD
from videojam import provenance
from videojam.bench.folder import Bench, Item
from videojam.bench.make.arms import parse_arm
from videojam.bench.make.suites import limited, load_suite
from videojam.bench.manifest import read_manifest
from videojam.bench.run import run_bench
from videojam.bench.work import Plan, Work
from videojam.data.config import DataConfig, WorldSource
from videojam.data.encode import prepare
from videojam.evaluation.intervals import Interval, bootstrap_mean, paired_difference, share
from videojam.evaluation.judges import build_judges
from videojam.evaluation.motion_use import CONDITIONS, appearance_losses_by_motion, warp_errors
from videojam.evaluation.world_judge import APPEARANCE, WorldJudge
from videojam.files import write_text
from videojam.models.load import LoadedModel, load_model
from videojam.motion.code import MotionCode
from videojam.motion.flow import decode_motion_video, motion_video
from videojam.motion.video import read_video
from videojam.world import KINDS, WorldConfig, sample_clip, score_clip

RESULTS = Path("benchmarks/results")
TEST_SEED = 50_000_000  # prompts and reference clips: far from every training seed
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
ARMS = {
    "base": "base=tiny:base,w_text=2",
    "control": "control=tiny:control,w_text=2",
    "videojam w2=0": "videojam-cfg=tiny:videojam,mode=cfg,w_text=2",
    "videojam": "videojam=tiny:videojam,w_text=2,w_motion=1,window=all",
}
"""Arms of the bench by their name in the tables."""
BENCH = Path("runs/tiny/bench")
BATCH_SIZE = 10


def world_of(model: LoadedModel) -> WorldConfig:
    return TINY_WORLD.model_copy(update={"height": model.defaults.height, "width": model.defaults.width})


def seeds_of(num_clips: int) -> Iterator[tuple[str, int]]:
    for i in range(num_clips):
        for k, kind in enumerate(KINDS):
            yield kind, TEST_SEED + i * len(KINDS) + k


def through_autoencoder(model: LoadedModel, videos: Tensor) -> Tensor:
    """Encode and decode uint8 videos `[B, T, 3, H, W]`; float, about 0..1, of the same shape."""
    z = model.family.encode_video(model.pipeline, videos.movedim(2, 1).float() / 127.5 - 1)
    return ((model.family.decode_video(model.pipeline, z) + 1) / 2).transpose(1, 2)


def measure_vae(num_clips: int) -> Iterator[dict]:
    model = load_model("tiny:videojam")
    assert model.record is not None
    code = model.record.motion
    for kind, seed in seeds_of(num_clips):
        clip = sample_clip(seed, world_of(model), kind)
        halves = torch.stack([clip.video, motion_video(clip.flow, code)])
        video, motion = through_autoencoder(model, halves)
        score = score_clip((video * 255).round().byte(), clip.caption)
        truth = score_clip(clip.video, clip.caption)
        moving = clip.moving[:-1]
        error = (decode_motion_video(motion, code) - clip.flow).norm(dim=1)[moving]
        yield {
            "kind": kind, "seed": seed, "coherent": score.coherent, "truth_coherent": truth.coherent,
            "reasons": score.reasons, "flow_error_px": float(error.mean()),
            "flow_px": float(clip.flow.norm(dim=1)[moving].mean()),
        }  # fmt: skip


def measure_motion(num_clips: int) -> Iterator[dict]:
    model = load_model("tiny:videojam")
    assert model.record is not None
    source = WorldSource(num_clips=num_clips, seed=TEST_SEED + 1_000_000, world=world_of(model))
    data = prepare(model, DataConfig(source=source, cache=Path("runs/tiny/cache")), model.record.motion)
    for t in TIMES:
        losses = appearance_losses_by_motion(model, data.clips, data.null_text, t)
        for i in range(len(data.clips)):
            yield {"t": t, "clip": i} | {name: float(losses[name][i]) for name in CONDITIONS}


def measure_arms(num_clips: int, arms: list[str]) -> Iterator[dict]:
    """A row for each clip of a bench on the first prompts of the world suite; verdicts are of the mp4 files."""
    specs = {arm: parse_arm(ARMS[arm]) for arm in arms}
    suite = limited(load_suite("world"), num_clips)
    results = run_bench(
        BENCH, Plan(suite, list(specs.values())), build_judges(["world"]), Work(batch_size=BATCH_SIZE)
    )
    assert results is not None
    bench, judge = Bench.open(BENCH), WorldJudge.name
    for arm, spec in specs.items():
        values, reasons = results.values[spec.name], results.reasons[spec.name][f"{judge}.coherent"]
        for item in bench.items:
            row: dict[str, Any] = {
                "arm": arm, "kind": item.prompt.category, "seed": item.prompt.seed,
                "coherent": bool(values[f"{judge}.coherent"][item.key]),
                "follows_prompt": bool(values[f"{judge}.follows_prompt"][item.key]),
                "reasons": reasons[item.key],
                "appearance": {m.name: values[f"{judge}.{m.name}"].get(item.key, math.nan) for m in APPEARANCE},
            }  # fmt: skip
            if bench.motion(spec.name, item).exists():
                row["warp_error"], row["still_error"] = warp_errors(*clip_and_flow(bench, spec.name, item))
            yield row


def clip_and_flow(bench: Bench, arm: str, item: Item) -> tuple[Tensor, Tensor]:
    """A clip and the flow that its predicted motion shows, both of their mp4 files."""
    manifest = read_manifest(bench, arm)
    assert manifest is not None
    code = MotionCode(**manifest.facts["motion"])
    motion = read_video(bench.motion(arm, item)).frames.float() / 255
    return read_video(bench.clip(arm, item)).frames, decode_motion_video(motion, code)


def write_rows(path: Path, rows: Iterator[dict]) -> None:
    """Append rows one by one, so that a broken run goes on."""
    with path.open("a") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            file.flush()


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def as_dict(interval: Interval, digits: int = 4) -> dict:
    return {name: round(value, digits) for name, value in asdict(interval).items()}


def of_share(values: list[bool]) -> dict:
    return as_dict(share(sum(values), len(values)))


def summarise() -> dict:
    vae, motion, arms = (read_rows(RESULTS / f"tiny_{name}.jsonl") for name in ("vae", "motion", "arms"))
    result: dict = {
        "date": date.today().isoformat(),
        "versions": provenance.versions_of(provenance.PACKAGES),
        "python": platform.python_version(),
        "arms_asked": ARMS,
        "autoencoder": {}, "motion_used": {}, "arms": {}, "differences": {}, "broken_laws_differences": {},
        "predicted_motion": {},
    }  # fmt: skip
    for kind in KINDS:
        mine = [row for row in vae if row["kind"] == kind]
        if mine:
            result["autoencoder"][kind] = {
                "coherent": of_share([row["coherent"] for row in mine]),
                "truth_coherent": of_share([row["truth_coherent"] for row in mine]),
                "flow_error_px": round(float(np.mean([row["flow_error_px"] for row in mine])), 3),
                "flow_px": round(float(np.mean([row["flow_px"] for row in mine])), 3),
            }
    for t in sorted({row["t"] for row in motion}):
        mine = [row for row in motion if row["t"] == t]
        true = [row["true"] for row in mine]
        result["motion_used"][str(t)] = {"true": round(float(np.mean(true)), 5)} | {
            f"{name} minus true": as_dict(paired_difference([row[name] for row in mine], true), digits=6)
            for name in ("null", "other")
        }
    for arm in ARMS:
        mine = [row for row in arms if row["arm"] == arm]
        if not mine:
            continue
        result["arms"][arm] = {
            kind: {measure: of_share([row[measure] for row in mine if kind in (row["kind"], "all")])
                   for measure in ("coherent", "follows_prompt")}
            for kind in (*KINDS, "all")
            if any(kind in (row["kind"], "all") for row in mine)
        }  # fmt: skip
        broken = np.array([len(row["reasons"]) for row in mine], dtype=np.float64)
        result["arms"][arm]["broken_laws"] = as_dict(bootstrap_mean(broken))
        for name in mine[0]["appearance"]:
            values = [row["appearance"][name] for row in mine if np.isfinite(row["appearance"][name])]
            result["arms"][arm].setdefault("appearance", {})[name] = (
                round(float(np.mean(values)), 4) if values else None
            )
        warped = [row for row in mine if row.get("still_error")]
        if warped:
            difference = paired_difference(
                [r["still_error"] for r in warped], [r["warp_error"] for r in warped]
            )
            result["predicted_motion"][arm] = {
                "error with predicted flow": round(float(np.mean([r["warp_error"] for r in warped])), 3),
                "error with zero flow": round(float(np.mean([r["still_error"] for r in warped])), 3),
                "zero minus predicted": as_dict(difference, digits=6),
            }
    for one, other in (
        ("control", "base"),
        ("videojam", "base"),
        ("videojam", "control"),
        ("videojam", "videojam w2=0"),
    ):
        for key, value_of in (
            ("differences", lambda row: row["coherent"]),
            ("broken_laws_differences", lambda row: len(row["reasons"])),
        ):
            table = [
                {row["seed"]: value_of(row) for row in arms if row["arm"] == arm} for arm in (one, other)
            ]
            common = sorted(table[0].keys() & table[1].keys())
            if common:
                first, second = ([mine[seed] for seed in common] for mine in table)
                result[key][f"{one} minus {other}"] = as_dict(paired_difference(first, second))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=64, help="clips a kind")
    parser.add_argument("--stage", nargs="+", default=["vae", "motion", "arms", "summary"])
    parser.add_argument("--arm", nargs="+", default=list(ARMS), choices=list(ARMS))
    args = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    if "vae" in args.stage and not (RESULTS / "tiny_vae.jsonl").exists():
        write_rows(RESULTS / "tiny_vae.jsonl", measure_vae(args.clips))
    if "motion" in args.stage and not (RESULTS / "tiny_motion.jsonl").exists():
        write_rows(RESULTS / "tiny_motion.jsonl", measure_motion(args.clips * len(KINDS)))
    if "arms" in args.stage:
        rows = list(measure_arms(args.clips, args.arm))
        write_text(RESULTS / "tiny_arms.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    if "summary" in args.stage:
        summary = json.dumps(summarise(), indent=2)
        write_text(RESULTS / "tiny.json", summary + "\n")
        print(summary)


if __name__ == "__main__":
    main()
