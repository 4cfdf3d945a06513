"""Regenerate the scorer's validation table: the share of clips called coherent, for each kind and damage.

    python -m studies.world_validation [--clips 64] [--seed 20000] [--out FILE.json]

Prints the table as Markdown. Exit code 1 when a row is not as required.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from videojam.files import write_text
from videojam.world import DAMAGES, KINDS, WORLD_VERSION, Validation, WorldConfig, validation_table
from videojam.world.validation import MAX_PASS_RATE, MIN_PASS_RATE

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
HARD = WorldConfig(texture=1.0, clutter=12)


def markdown(rows: list[Validation]) -> str:
    rates = {(row.kind, row.damage): row.coherent for row in rows}
    lines = ["| kind | " + " | ".join(DAMAGES) + " |", "|---" * (len(DAMAGES) + 1) + "|"]
    for kind in KINDS:
        cells = (f"{100 * rates[kind, damage]:.1f}" for damage in DAMAGES)
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=64, help="clips of each kind under each damage")
    parser.add_argument("--seed", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "world_validation.json")
    args = parser.parse_args()
    tables = {
        "default": validation_table(args.clips, args.seed),
        "grain_and_clutter": validation_table(max(args.clips // 4, 1), args.seed, HARD),
    }
    result = {
        "command": f"python -m studies.world_validation --clips {args.clips} --seed {args.seed}",
        "date": datetime.date.today().isoformat(),
        "world_version": WORLD_VERSION,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "torch": torch.__version__,
        },
        "required": {"at_least": MIN_PASS_RATE, "at_most": MAX_PASS_RATE},
        "configs": {"default": WorldConfig().model_dump(), "grain_and_clutter": HARD.model_dump()},
        "tables": {name: [row._asdict() for row in rows] for name, rows in tables.items()},
    }
    write_text(args.out, json.dumps(result, indent=2) + "\n")
    for name, rows in tables.items():
        print(f"{name}, {rows[0].num_clips} clips a cell, % coherent\n\n{markdown(rows)}\n")
    wrong = [(row.kind, row.damage) for rows in tables.values() for row in rows if not row.as_required]
    sys.exit(f"not as required: {wrong}" if wrong else 0)


if __name__ == "__main__":
    main()
