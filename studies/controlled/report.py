"""Gather one point of the study: its arms over seeds, paired contrasts, the cost of guidance, and single changes.

    python -m studies.controlled.report RUNS OUT

Reads the benches RUNS/arms-SEED, RUNS/grid and, if it is there, RUNS/changes. Writes into OUT: study.json,
clips.csv (what each contrast is computed from), study.md, pareto.png, and in runs/ the recipe, log and curve of each
fine-tune. OUT/direction-MODEL.json and OUT/worlds.json join the tables if they are there. The tables of study.md go
into docs/study.md too, the first one of `plain` into README.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from studies.controlled.run import SEEDS
from studies.controlled.scales import JUDGE, chosen_scales
from studies.pages import per_cent, signed, with_block
from videojam.evaluation.intervals import bootstrap_mean, paired_difference
from videojam.files import write_text
from videojam.world import KINDS

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Results = dict[str, Any]

ARMS = {
    "base": "base, CFG",
    "control": "control (plain fine-tune), CFG",
    "videojam-cfg": "VideoJAM, CFG (w2 = 0)",
    "videojam": "**VideoJAM, Inner-Guidance**",
    "videojam-w1-0": "— without text guidance (w1 = 0)",
    "videojam-no-flow": "— without its motion (d = 0)",
    "videojam-ip2p": "— InstructPix2Pix guidance",
    "base-paper": "base, CFG at the paper's w1 = 5",
    "control-paper": "control at w1 = 5",
    "videojam-paper": "VideoJAM at w1 = 5, w2 = 3",
}
CONTRASTS = (
    ("videojam", "control"),  # the primary one
    ("videojam-paper", "control-paper"),
    ("videojam-cfg", "control"),
    ("videojam", "videojam-cfg"),
    ("videojam", "videojam-w1-0"),
    ("videojam", "videojam-no-flow"),
    ("videojam", "videojam-ip2p"),
)
# A clip whose parts can't be followed is asked fewer laws; so broken laws are also compared where both follow.
FOLLOWED = "broken_laws_if_followed"
MEASURES = {"coherent": (100, 1), "broken_laws": (1, 2), FOLLOWED: (1, 2)}  # scale and digits to show
MUST_NOT_FALL = ("follows_prompt", "palette_error", "edge_sharpness", "background_flicker")
# Transformer forwards a step: the joint model's three, and what a window or reuse saves of them.
FORWARDS = {
    "videojam-w2-0": 2.0, "videojam-t0.3": 2.3, "videojam-t0.5": 2.5, "videojam-t0.6": 2.6, "videojam": 3.0,
    "videojam-reuse": 2.0, "videojam-ip2p": 3.0, "videojam-appearance": 3.0,
}  # fmt: skip


def clip_values(results: Results, arm: str, measure: str) -> dict[str, float]:
    """One value a clip of one arm; NaN where the measure is none."""
    if measure == FOLLOWED:
        follows = clip_values(results, arm, "follows_prompt")
        broken = clip_values(results, arm, "broken_laws")
        return {clip: laws if follows[clip] else float("nan") for clip, laws in broken.items()}
    return results["values"].get(arm, {}).get(f"{JUDGE}.{measure}", {})


def over_seeds(seeds: list[Results], arms: tuple[str, ...], measure: str) -> np.ndarray:
    """Values `[seeds, arms, clips]` of the clips for which all arms of all seeds have one."""
    rows = [[clip_values(found, arm, measure) for arm in arms] for found in seeds]
    clips = sorted(set.intersection(*(set(values) for row in rows for values in row)))
    values = np.array([[[cell[clip] for clip in clips] for cell in row] for row in rows], dtype=np.float64)
    return values[..., np.isfinite(values).all(axis=(0, 1))]


def contrast(seeds: list[Results], one: str, other: str, measure: str) -> dict[str, Any]:
    """mean(one − other) per fine-tune seed that has both, and of the mean over seeds, paired over prompts."""
    seeds = [found for found in seeds if {one, other} <= found["values"].keys()]
    values = over_seeds(seeds, (one, other), measure)
    each = [paired_difference(*pair) for pair in values]
    return {
        "pooled": asdict(paired_difference(*values.mean(axis=0))),
        "seeds": [asdict(found) for found in each],
        "agree_in_sign": {np.sign(found.mean) for found in each} in ({1.0}, {-1.0}),
    }


def arm_row(seeds: list[Results], arm: str) -> dict[str, Any]:
    """What one arm reached: mean over its seeds with an interval over prompts, each seed, each kind."""
    own = [found for found in seeds if arm in found["table"]]
    row: dict[str, Any] = {}
    for measure in (*MEASURES, "follows_prompt"):
        values = over_seeds(own, (arm,), measure)[:, 0]
        row[measure] = asdict(bootstrap_mean(values.mean(axis=0))) | {"seeds": values.mean(axis=1).tolist()}
    row["kinds"] = {
        kind: float(np.mean([f["categories"][kind][arm][f"{JUDGE}.coherent"]["mean"] for f in own]))
        for kind in KINDS
    }
    return row


def gather(seeds: list[Results], grid: Results, changes: Results | None) -> dict[str, Any]:
    """All figures of one point."""
    zero = seeds[0]
    pairs = [pair for pair in CONTRASTS if zero["table"].keys() >= set(pair)]
    cost = [arm for arm in FORWARDS if arm in zero["table"]]
    report: dict[str, Any] = {
        "date": date.today().isoformat(),
        "versions": zero["versions"],
        "scales": chosen_scales(grid),
        "arms": {arm: arm_row(seeds, arm) for arm in ARMS if arm in zero["table"]},
        "contrasts": {
            measure: {f"{a} − {b}": contrast(seeds, a, b, measure) for a, b in pairs}
            for measure in (*MEASURES, *MUST_NOT_FALL)
        },
        "cost": {
            arm: {"forwards": FORWARDS[arm]} | arm_row([zero], arm)
            | {f"{measure} less exact": contrast([zero], arm, "videojam", measure)["pooled"] for measure in MEASURES}
            for arm in cost if len(cost) > 1
        },
    }  # fmt: skip
    if changes:
        both = {part: zero[part] | changes[part] for part in ("table", "values")}
        both["categories"] = {kind: zero["categories"][kind] | changes["categories"][kind] for kind in KINDS}
        report["changes"] = {
            arm: arm_row([both], arm)
            | {
                f"{measure} less {role}": contrast([both], arm, other, measure)["pooled"]
                for measure in MEASURES
                for role, other in compared_with(arm, changes["table"]).items()
            }
            for arm in sorted(changes["table"])
        }
    return report


def compared_with(arm: str, changed: Collection[str]) -> dict[str, str]:
    """The control, with the same change if that was run, and the arm of seed 0 without the change.

    VideoJAM without w2 also has the control at its own w1, if that was run.
    """
    own_control = f"{arm.removesuffix('-cfg')}-control"
    same_w1 = f"{own_control}-same-w1"
    unchanged = "videojam-cfg" if arm.endswith("-cfg") else "videojam"
    found = {
        "control": own_control if own_control in changed else "control",
        "unchanged": "control" if "-control" in arm else unchanged,
    }
    return found | ({"control-same-w1": same_w1} if arm.endswith("-cfg") and same_w1 in changed else {})


def difference(found: dict[str, Any], measure: str) -> str:
    """A difference of a measure as its tables show it."""
    return signed(found, *MEASURES.get(measure, (1, 4)))


def arms_table(report: dict[str, Any], arms: Sequence[str] = tuple(ARMS)) -> list[str]:
    control = report["arms"]["control"]["coherent"]
    lines = [
        f"| % of {control['n']} clips, {len(control['seeds'])} seeds (95 %) "
        f"| coherent | each seed | {' | '.join(KINDS)} | follows its prompt "
        "| broken laws a clip | … where it follows |",
        f"|---|---|---|{'---|' * len(KINDS)}---|---|---|",
    ]
    for arm in (arm for arm in arms if arm in report["arms"]):
        row = report["arms"][arm]
        seeds = ", ".join(f"{100 * mean:.0f}" for mean in row["coherent"]["seeds"])
        kinds = " | ".join(f"{100 * row['kinds'][kind]:.0f}" for kind in KINDS)
        laws = row["broken_laws"]
        cells = [
            ARMS[arm], per_cent(row["coherent"]), seeds, kinds, per_cent(row["follows_prompt"]),
            f"{laws['mean']:.2f} ({laws['low']:.2f}–{laws['high']:.2f})", f"{row[FOLLOWED]['mean']:.2f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def contrast_table(report: dict[str, Any], measure: str, title: str) -> list[str]:
    lines = [f"| {title} | mean of seeds (95 %) | each seed | agree in sign |", "|---|---|---|---|"]
    scale, digits = MEASURES.get(measure, (1, 4))
    for name, found in report["contrasts"][measure].items():
        seeds = ", ".join(f"{scale * seed['mean']:+.{digits}f}" for seed in found["seeds"])
        agree = "yes" if found["agree_in_sign"] else "no"
        lines.append(f"| {name} | {difference(found['pooled'], measure)} | {seeds} | {agree} |")
    return lines


def appearance_table(report: dict[str, Any]) -> list[str]:
    lines = ["| videojam − control | mean of seeds (95 %) | agree in sign |", "|---|---|---|"]
    for measure in MUST_NOT_FALL:
        found = report["contrasts"][measure]["videojam − control"]
        agree = "yes" if found["agree_in_sign"] else "no"
        lines.append(f"| `{measure}` | {difference(found['pooled'], measure)} | {agree} |")
    return lines


def cost_table(report: dict[str, Any]) -> list[str]:
    lines = [
        "| seed 0 | forwards a step | coherent, % | less exact, points | broken laws | less exact |",
        "|---|---|---|---|---|---|",
    ]
    for arm, row in sorted(report["cost"].items(), key=lambda item: item[1]["forwards"]):
        lines.append(
            f"| {arm} | {row['forwards']:g} | {per_cent(row['coherent'])} "
            f"| {difference(row['coherent less exact'], 'coherent')} "
            f"| {row['broken_laws']['mean']:.2f} | {difference(row['broken_laws less exact'], 'broken_laws')} |"
        )
    return lines


def changes_table(report: dict[str, Any]) -> list[str]:
    lines = [
        "| seed 0, one change | coherent, % | less control, points | follows its prompt, % "
        "| broken laws | less the unchanged | less control |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, row in report["changes"].items():
        lines.append(
            f"| {arm} | {per_cent(row['coherent'])} | {difference(row['coherent less control'], 'coherent')} "
            f"| {per_cent(row['follows_prompt'])} | {row['broken_laws']['mean']:.2f} "
            f"| {difference(row['broken_laws less unchanged'], 'broken_laws')} "
            f"| {difference(row['broken_laws less control'], 'broken_laws')} |"
        )
    return lines


def direction_table(report: dict[str, Any]) -> list[str]:
    models = report["direction"]
    times = list(next(iter(models.values())))
    lines = [f"| w\\* of | {' | '.join(f't = {t}' for t in times)} |", f"|---|{'---|' * len(times)}"]
    for name in ("text", "motion"):
        for model, by_t in models.items():
            cells = (f"{by_t[t][name]['mean']:+.2f}" for t in times)
            lines.append(f"| {name}, {model} | {' | '.join(cells)} |")
    return lines


def worlds_table(report: dict[str, Any]) -> list[str]:
    found = report["worlds"]
    kinds = [f"{kind} {100 * share['mean']:.0f}" for kind, share in found["coherent"].items()]
    shares = found["static_share"]
    return [
        f"True clips through the autoencoder, coherent, %: {', '.join(kinds)}.",
        "",
        f"| % of the base's loss where nothing moves | {' | '.join(f't = {t}' for t in shares)} |",
        f"|---|{'---|' * len(shares)}",
        f"| {100 * found['static_places']:.0f} % of the places | {' | '.join(map(per_cent, shares.values()))} |",
    ]


def tables(report: dict[str, Any]) -> list[str]:
    """Every table of one point."""
    parts = [
        arms_table(report),
        contrast_table(report, "coherent", "coherent clips, points"),
        contrast_table(report, "broken_laws", "broken laws a clip"),
        contrast_table(report, FOLLOWED, "broken laws, where both follow the prompt"),
        appearance_table(report),
        *([cost_table(report)] if report["cost"] else []),
        *([changes_table(report)] if "changes" in report else []),
        *([direction_table(report)] if "direction" in report else []),
        *([worlds_table(report)] if "worlds" in report else []),
    ]
    return [line for part in parts for line in (*part, "")]


def blocks(report: dict[str, Any], point: str) -> dict[Path, list[str]]:
    """What stands of one point in which page."""
    shown = {Path("docs/study.md"): tables(report)[:-1]}
    if point == "plain":
        first = [arm for arm in ARMS if not arm.endswith("-paper")]
        shown[Path("README.md")] = arms_table(report, first)
    return shown


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
    lines = tables(report)
    write_text(args.out / "study.md", "\n".join(lines))
    write_text(args.out / "study.json", json.dumps(report, indent=1) + "\n")
    for page, shown in blocks(report, args.out.name).items():
        write_text(page, with_block(page, f"study-{args.out.name}", shown))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
