"""Gather one point of the study: arms over seeds with paired intervals, per kind, and the cost of guidance.

    python scripts/study/report.py RUNS OUT

Reads RUNS/arms-SEED/results.json; writes OUT/study.json, OUT/study.md and OUT/pareto.png.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from run import SEEDS
from scales import JUDGE, chosen_scales

from videojam.evaluation.intervals import paired_difference

matplotlib.use("Agg")
from matplotlib import pyplot as plt

CONTRASTS = (
    ("videojam", "control"),  # the primary one
    ("videojam-paper", "control-paper"),
    ("videojam", "videojam-cfg"),
    ("videojam-cfg", "control"),
    ("videojam", "videojam-w1-0"),
    ("videojam", "videojam-no-flow"),
    ("videojam", "videojam-ip2p"),
)
MUST_NOT_FALL = ("follows_prompt", "palette_error", "edge_sharpness", "background_flicker")
# Transformer forwards a step: the joint model's three, and what a window or reuse saves of them.
FORWARDS = {
    "videojam-cfg": 2.0, "videojam-t0.3": 2.3, "videojam-t0.5": 2.5, "videojam-t0.6": 2.6, "videojam": 3.0,
    "videojam-reuse": 2.0, "videojam-ip2p": 3.0,
}  # fmt: skip


def clip_values(results: dict[str, Any], arm: str, measure: str) -> dict[str, float]:
    """One value a clip of one arm."""
    return results["values"].get(arm, {}).get(f"{JUDGE}.{measure}", {})


def contrast(seeds: list[dict[str, Any]], one: str, other: str, measure: str) -> dict[str, Any]:
    """mean(one − other) per fine-tune seed, and of the mean over seeds, paired over prompts."""
    pairs = [(clip_values(found, one, measure), clip_values(found, other, measure)) for found in seeds]
    clips = sorted(set.intersection(*(set(a) & set(b) for a, b in pairs)))
    values = np.array([[[side[clip] for clip in clips] for side in pair] for pair in pairs])
    clean = np.isfinite(values).all(axis=(0, 1))
    values = values[..., clean]
    each = [paired_difference(*pair) for pair in values]
    return {
        "pooled": asdict(paired_difference(*values.mean(axis=0))),
        "seeds": [asdict(found) for found in each],
        "agree_in_sign": len({np.sign(found.mean) for found in each}) == 1,
    }


def row(name: str, found: dict[str, Any], scale: float, digits: int) -> str:
    def show(interval: dict[str, Any]) -> str:
        low, mean, high = (scale * interval[key] for key in ("low", "mean", "high"))
        return f"{mean:+.{digits}f} ({low:+.{digits}f} … {high:+.{digits}f})"

    seeds = ", ".join(f"{scale * seed['mean']:+.{digits}f}" for seed in found["seeds"])
    return f"| {name} | {show(found['pooled'])} | {seeds} | {'yes' if found['agree_in_sign'] else 'no'} |"


def plot_cost(seed0: dict[str, Any], out: Path) -> None:
    """Coherence against transformer forwards per step."""
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for arm, forwards in FORWARDS.items():
        found = seed0["table"].get(arm, {}).get(f"{JUDGE}.coherent")
        if found is None:
            continue
        mean, low, high = (100 * found[key] for key in ("mean", "low", "high"))
        axis.errorbar(forwards, mean, yerr=[[mean - low], [high - mean]], fmt="o", capsize=3)
        axis.annotate(arm, (forwards, mean), textcoords="offset points", xytext=(5, 5), fontsize=8)
    axis.set(xlabel="transformer forwards a step", ylabel="coherent clips, %")
    figure.savefig(out / "pareto.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    seeds = [json.loads((args.runs / f"arms-{seed}/results.json").read_text()) for seed in SEEDS]
    grid = json.loads((args.runs / "grid/results.json").read_text())
    report = {
        "date": date.today().isoformat(),
        "scales": chosen_scales(grid),
        "arms": [found["table"] for found in seeds],
        "kinds": [found["categories"] for found in seeds],
        "coherent": {f"{a} − {b}": contrast(seeds, a, b, "coherent") for a, b in CONTRASTS},
        "broken_laws": {f"{a} − {b}": contrast(seeds, a, b, "broken_laws") for a, b in CONTRASTS},
        "videojam − control": {
            measure: contrast(seeds, "videojam", "control", measure) for measure in MUST_NOT_FALL
        },
        "versions": seeds[0]["versions"],
    }
    lines = []
    for title, key, scale, digits in (
        ("coherent clips, points", "coherent", 100, 1),
        ("broken laws a clip", "broken_laws", 1, 2),
    ):
        lines += [f"| {title} | mean of seeds (95 %) | each seed | agree in sign |", "|---|---|---|---|"]
        lines += [row(name, found, scale, digits) for name, found in report[key].items()] + [""]
    plot_cost(seeds[0], args.out)
    (args.out / "study.md").write_text("\n".join(lines))
    (args.out / "study.json").write_text(json.dumps(report, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
