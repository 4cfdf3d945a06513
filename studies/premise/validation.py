"""The all-kinds world examined: what its judge says of damaged clips, and how fast clips are drawn.

    python -m studies.premise.validation [--clips 256]

Writes `benchmarks/results/world_validation.json` and the table of docs/study-premise.md. Exit code 1 when truth, or
noise that is to be borne, is coherent less often than `MIN_BORNE`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import get_args

import torch

from studies.pages import with_block
from studies.premise.results import PAGE
from studies.premise.testbed import generator_of
from videojam.files import write_text
from videojam.world import WorldConfig, draw_clips, lawful_scenes
from videojam.world.config import Kind
from videojam.world.validation import validation_table

OUT = Path("benchmarks/results/world_validation.json")
MIN_BORNE = {"truth": 0.99, "faint_noise": 0.99, "half_noise": 0.9}
NUM_ROUNDS, CLIPS_A_ROUND = 9, 256


def all_kinds(size_px: int = 8, num_frames: int = 6) -> WorldConfig:
    """Return the world with every kind of motion."""
    return WorldConfig(size_px=size_px, num_frames=num_frames, kinds=get_args(Kind))


def draw_rates() -> dict[str, int]:
    """Clips drawn a second of CPU time on one thread: medians of rounds, worlds taken in turn (A B A B)."""
    worlds = {
        f"{kinds}, {size}x{size}x{frames}": WorldConfig(size_px=size, num_frames=frames, kinds=names)
        for kinds, names in (("bounce", ("bounce",)), ("all kinds", all_kinds().kinds))
        for size, frames in ((8, 6), (32, 8))
    }
    tables = {name: lawful_scenes(world) for name, world in worlds.items()}
    chance = generator_of("cpu", "draw rates")
    rates: dict[str, list[float]] = {name: [] for name in worlds}
    for _ in range(NUM_ROUNDS):
        for name, world in worlds.items():
            started = time.process_time()
            draw_clips(world, tables[name], CLIPS_A_ROUND, chance)
            rates[name].append(CLIPS_A_ROUND / (time.process_time() - started))
    return {name: round(statistics.median(values)) for name, values in rates.items()}


def markdown(table: dict[str, dict[str, float]], kinds: tuple[str, ...]) -> str:
    """Return the shares of coherent clips of each damage and kind, and the share of explained frames."""
    columns = (*kinds, "coherent", "explained")
    lines = ["| damage | " + " | ".join((*kinds, "all", "frames explained")) + " |", "|---" * 8 + "|"]
    for damage, row in table.items():
        cells = " | ".join(f"{100 * row[column]:.1f}" for column in columns)
        lines.append(f"| {damage.replace('_', ' ')} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="The all-kinds world examined.")
    parser.add_argument("--clips", type=int, default=256, help="Clips of each damage.")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    world = all_kinds()
    table = validation_table(world, generator_of("cpu", "validation"), options.clips)
    result = {
        "command": f"python -m studies.premise.validation --clips {options.clips}",
        "world": world.model_dump(),
        "num_distinct_scenes": len(lawful_scenes(world).distinct()),
        "clips_per_cpu_s": draw_rates(),
        "validation": table,
    }
    write_text(options.out, json.dumps(result, indent=1) + "\n")
    write_text(PAGE, with_block(PAGE, "validation", markdown(table, world.kinds).splitlines()))
    print(markdown(table, world.kinds), json.dumps(result["clips_per_cpu_s"]), sep="\n\n")
    low = [name for name, least in MIN_BORNE.items() if table[name]["coherent"] < least]
    sys.exit(f"borne less often than required: {low}" if low else 0)


if __name__ == "__main__":
    main()
