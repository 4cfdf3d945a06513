"""Does VideoJAM's advantage over its control grow with the share of the loss that static detail takes?

    python -m studies.controlled.points [benchmarks/results/study]

Reads what report.py wrote of each point (study.json, clips.csv), writes points.json beside them, and the table into
docs/when-the-premise-fails.md.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from studies.controlled.figures import over_seeds
from studies.controlled.run import CLUTTER
from studies.controlled.scales import JUDGE
from studies.controlled.tables import SUMMARY, difference
from studies.pages import per_cent, with_block
from videojam.evaluation.intervals import paired_difference
from videojam.files import write_text

MEASURES = ("coherent", "broken_laws")
SHOWN = ("base", "control", "videojam")
TIME = "0.5"  # at which the static share is shown


def read_seeds(file: Path) -> list[dict[str, Any]]:
    """A point's clips.csv, as the results of the bench of each fine-tune seed."""
    found: dict[str, dict[str, Any]] = {}
    with file.open(newline="") as rows:
        for row in csv.DictReader(rows):
            values = found.setdefault(row["bench"], {"values": {}})["values"].setdefault(row["arm"], {})
            for measure in MEASURES:
                values.setdefault(f"{JUDGE}.{measure}", {})[row["clip"]] = float(row[measure])
    return [results for name, results in found.items() if name.startswith("arms-")]


def advantage(seeds: list[dict[str, Any]], measure: str) -> np.ndarray:
    """VideoJAM minus control by clip `[clips]`, mean over the fine-tune seeds."""
    videojam, control = over_seeds(seeds, ("videojam", "control"), measure).mean(axis=0)
    return videojam - control


def gather(root: Path) -> dict[str, Any]:
    """The figures of each point, and what the advantage gains from the first to the second."""
    points = {name: json.loads((root / name / "study.json").read_text()) for name in CLUTTER}
    plain, clutter = (read_seeds(root / name / "clips.csv") for name in CLUTTER)
    return {
        "points": {
            name: {
                "clutter": CLUTTER[name],
                "static_share": found["worlds"]["static_share"][TIME],
                "seeds": len(found["arms"]["control"]["coherent"]["seeds"]),
                "coherent": {arm: found["arms"][arm]["coherent"] for arm in SHOWN},
                "advantage": {m: found["contrasts"][m]["videojam − control"]["pooled"] for m in MEASURES},
            }
            for name, found in points.items()
        },
        "gain": {
            measure: asdict(paired_difference(advantage(clutter, measure), advantage(plain, measure)))
            for measure in MEASURES
        },
    }


def table(report: dict[str, Any]) -> list[str]:
    lines = [
        f"| world | loss where nothing moves, % (t = {TIME}) | seeds | base, coherent % | control | VideoJAM "
        "| VideoJAM − control, points | … in broken laws |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, point in report["points"].items():
        arms = " | ".join(per_cent(point["coherent"][arm]) for arm in SHOWN)
        gains = " | ".join(difference(point["advantage"][measure], measure) for measure in MEASURES)
        lines.append(
            f"| `{name}`: {point['clutter']} static shapes | {per_cent(point['static_share'])} | {point['seeds']} "
            f"| {arms} | {gains} |"
        )
    gains = " | ".join(difference(report["gain"][measure], measure) for measure in MEASURES)
    lines.append(f"| change of the advantage | | | | | | {gains} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="?", default=Path("benchmarks/results/study"))
    args = parser.parse_args()
    report = gather(args.results)
    write_text(args.results / "points.json", json.dumps(report, indent=1) + "\n")
    shown = table(report)
    write_text(SUMMARY, with_block(SUMMARY, "study-points", shown))
    print("\n".join(shown))


if __name__ == "__main__":
    main()
