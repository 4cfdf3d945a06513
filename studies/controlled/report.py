"""Gather one point of the study: its arms over seeds, paired contrasts, the cost of guidance, and single changes.

    python -m studies.controlled.report RUNS OUT

Reads the benches RUNS/arms-SEED, RUNS/grid and, if it is there, RUNS/changes. Writes into OUT: study.json,
clips.csv (what each contrast is computed from), study.md, pareto.png, and in runs/ the recipe, log and curve of each
fine-tune. OUT/direction-MODEL.json and OUT/worlds.json join the tables if they are there. The tables of study.md also
go into docs/study-tables.md, the first one of `plain` into docs/when-the-premise-fails.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib

from studies.controlled.figures import MEASURES, MUST_NOT_FALL, Results, clip_values, gather
from studies.controlled.run import SEEDS
from studies.controlled.tables import blocks, tables
from studies.pages import with_block
from videojam.files import write_text

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def plot_cost(report: dict[str, Any], out: Path) -> None:
    """Coherence and broken laws against transformer forwards per step."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    labels = {"coherent": "coherent clips, %", "broken_laws": "broken laws a clip"}
    for axis, (measure, label) in zip(axes, labels.items(), strict=True):
        scale, _ = MEASURES[measure]
        for number, (arm, row) in enumerate(report["cost"].items()):
            mean, low, high = (scale * row[measure][key] for key in ("mean", "low", "high"))
            place = row["forwards"] + 0.04 * (number % 4 - 1.5)  # so that intervals don't hide one another
            error = [[mean - low], [high - mean]]
            axis.errorbar(
                place, mean, yerr=error, fmt="o", capsize=3, label=arm.replace("videojam", "VideoJAM")
            )
        axis.set(xlabel="transformer forwards a step", ylabel=label)
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(out / "pareto.png", dpi=120)
    plt.close(figure)


def keep_clips(benches: dict[str, Results], out: Path) -> None:
    """Write one row a clip: what every contrast above is computed from."""
    measures = ("coherent", "broken_laws", *MUST_NOT_FALL)
    with (out / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["bench", "arm", "clip", *measures])
        for bench, results in benches.items():
            for arm in results["table"]:
                columns = [clip_values(results, arm, measure) for measure in measures]
                for clip in sorted(columns[0]):
                    writer.writerow(
                        [bench, arm, clip, *(f"{c.get(clip, float('nan')):.4g}" for c in columns)]
                    )


def keep_grid(grid: Results, out: Path) -> None:
    """Write what the scales were chosen from, without its clips."""
    parts = ("format", "made_at", "versions", "suite", "num_seeds", "table")
    write_text(out / "grid.json", json.dumps({part: grid[part] for part in parts}, indent=1) + "\n")


def keep_runs(runs: Path, out: Path) -> None:
    """Copy recipe and log of each fine-tune, and plot the held-out losses."""
    folder = out / "runs"
    folder.mkdir(exist_ok=True)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for number, log in enumerate(sorted(runs.glob("*/log.jsonl"))):
        name, colour = log.parent.name, plt.colormaps["tab20"](number)
        shutil.copy2(log, folder / f"{name}.log.jsonl")
        shutil.copy2(log.parent / "run.json", folder / f"{name}.run.json")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for axis, half in zip(axes, ("appearance", "motion"), strict=True):
            key = f"heldout_{half}@0.5"
            found = [(line["step"], line[key]) for line in lines if key in line]
            if found and not name.startswith("base"):
                axis.plot(*zip(*found, strict=True), label=name, color=colour)
            axis.set(xlabel="step", ylabel=f"held-out {half} loss, t = 0.5")
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=7, loc="outside right center")
    figure.savefig(folder / "curves.png", dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    def bench(name: str) -> Results:
        return json.loads((args.runs / name / "results.json").read_text())

    done = [f"arms-{seed}" for seed in SEEDS if (args.runs / f"arms-{seed}/results.json").exists()]
    seeds = [bench(name) for name in done]
    changes = bench("changes") if (args.runs / "changes/results.json").exists() else None
    grid = bench("grid")
    report = gather(seeds, grid, changes)
    found = sorted(args.out.glob("direction-*.json"), key=lambda file: ("change-" in file.name, file.name))
    if found:
        report["direction"] = {
            file.stem.removeprefix("direction-"): json.loads(file.read_text())["scales"] for file in found
        }
    worlds = args.out / "worlds.json"
    if worlds.exists():
        report["worlds"] = json.loads(worlds.read_text())
    if report["cost"]:
        plot_cost(report, args.out)
    benches = dict(zip(done, seeds, strict=True)) | {"grid": grid}
    keep_clips(benches | ({"changes": changes} if changes else {}), args.out)
    keep_grid(grid, args.out)
    keep_runs(args.runs, args.out)
    lines = "\n\n".join("\n".join(table) for table in tables(report).values())
    write_text(args.out / "study.md", lines + "\n")
    write_text(args.out / "study.json", json.dumps(report, indent=1) + "\n")
    for page, name, shown in blocks(report, args.out.name):
        write_text(page, with_block(page, name, shown))
    print(lines)


if __name__ == "__main__":
    main()
