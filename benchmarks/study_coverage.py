"""How often the report's 95 % intervals hold the truth, for simulated raters of known preference, lapses and side bias.

    python benchmarks/study_coverage.py [--runs 500] [--out benchmarks/results/study_coverage.json]

Prompts and raters are drawn anew in each run, as in a new study: an interval is to hold 95 % of the time.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from videojam.evaluation.intervals import Interval, share
from videojam.files import write_text
from videojam.study.simulate import Truth, simulate_votes
from videojam.study.statistics import vote_share

DESIGNS = {
    "the paper's: 128 prompts, 5 of 20 raters each": (
        Truth(preference=0.65, lapse=0.05, side=0.3),
        {"num_prompts": 128, "num_raters": 20, "per_pair": 5},
    ),
    "small: 40 prompts, 3 of 10 raters each": (
        Truth(preference=0.6, lapse=0.1, side=0.5),
        {"num_prompts": 40, "num_raters": 10, "per_pair": 3},
    ),
    "clear preference: 128 prompts, 5 of 30 raters each": (
        Truth(preference=0.9, lapse=0.1, side=0.3, rater_sd=0.5),
        {"num_prompts": 128, "num_raters": 30, "per_pair": 5},
    ),
}


def coverage(truth: Truth, design: dict[str, int], runs: int) -> dict[str, Any]:
    held: Counter[str] = Counter()
    widths: dict[str, float] = {}
    for seed in range(runs):
        votes = simulate_votes(truth, **design, seed=seed)
        wins = [vote.first_won for vote in votes]
        found = vote_share(wins, [vote.prompt for vote in votes], [vote.rater for vote in votes])
        left = sum(vote.first_won == vote.first_is_left for vote in votes)
        intervals: dict[str, tuple[Interval | None, float]] = {
            "prompts and raters": (found.both, truth.share),
            "prompts only (bootstrap)": (found.prompts, truth.share),
            "raters only (bootstrap)": (found.raters, truth.share),
            "independent votes (Wilson)": (found.wilson, truth.share),
            "side bias (Wilson)": (share(left, len(votes)), truth.left_share),
        }
        for name, (interval, value) in intervals.items():
            if interval is not None:
                held[name] += interval.low <= value <= interval.high
                widths[name] = widths.get(name, 0.0) + interval.high - interval.low
    return {
        "truth": vars(truth) | {"share": round(truth.share, 4), "left_share": round(truth.left_share, 4)},
        "design": design,
        "coverage": {name: round(held[name] / runs, 3) for name in widths},
        "mean_width_points": {name: round(100 * width / runs, 2) for name, width in widths.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/study_coverage.json"))
    args = parser.parse_args()
    start = time.perf_counter()
    result = {
        "date": datetime.date.today().isoformat(),
        "runs": args.runs,
        "designs": {name: coverage(*design, args.runs) for name, design in DESIGNS.items()},
        "seconds": round(time.perf_counter() - start, 1),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numpy", "scipy")},
    }
    write_text(args.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
