"""What each shipped recipe needs, by its dry run: the table of docs/recipes.md and a line in each recipe's head.

    python benchmarks/recipes_table.py            # writes both
    python benchmarks/recipes_table.py ltx-lora   # only these rows

No weight and no network is needed: the sizes of the bases are in videojam.models.published.
"""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from videojam.models.published import PUBLISHED
from videojam.training.config import TrainConfig
from videojam.training.dry_run import DryRun, dry_run
from videojam.training.recipe import load_recipe

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "recipes.md"
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
HEAD = "# Dry run: "
GIB = 2**30


@dataclass(frozen=True)
class Card:
    """A graphics card, by its makers' figures.

    Attributes:
        gib: Memory in GiB.
        tflops: Dense bf16 products with fp32 sums, in TFLOP/s.
    """

    gib: int
    tflops: float


CARDS = (Card(24, 165), Card(48, 362), Card(80, 989))
"""RTX 4090, L40S, H100 SXM."""
UTILISATION = 0.4
FILLED = 0.9
"""Of a card; the rest is left for what is not counted."""


def config_of(recipe: Path) -> TrainConfig:
    """Read a recipe; a base that a run has yet to make is that of the preset's sizes."""
    config = load_recipe(recipe)
    presets = [part for part in Path(config.base).parts if part in PUBLISHED]
    return config.model_copy(update={"base": presets[0]}) if presets else config


def row_of(recipe: Path, run: DryRun, config: TrainConfig) -> str:
    """Write a row of the table."""
    found, source, memory = run.estimate, config.data.source, run.memory
    clip = f"{source.num_frames}×{source.height}×{source.width}"
    held, training = found.held, training_of(run, config)
    if config.parallel.kind == "fsdp":
        held //= found.cards(float(CARDS[-1].gib * GIB), config) or 1
    sizes = (held, training - held, training, found.text_stage or 0, found.pixel_stage)
    cells = [
        f"[{recipe.stem}](../recipes/{recipe.name})",
        f"{memory.num_trained / 1e6:,.0f} of {run.facts.num_joint_parameters / 1e6:,.0f}",
        f"{clip}, {config.num_steps:,}×{config.batch_size}",
        *(f"{size / GIB:,.1f}" for size in sizes),
        *(fits(card, run, config) for card in CARDS),
    ]
    return f"| {' | '.join(cells)} |"


def training_of(run: DryRun, config: TrainConfig) -> int:
    """Return the peak of training; of FSDP2, on each of as many of the largest cards as hold it."""
    found = run.estimate
    if config.parallel.kind == "ddp":
        return found.training
    number = found.cards(float(CARDS[-1].gib * GIB), config)
    return found.training if number is None else found.sharded(number, config)


def fits(card: Card, run: DryRun, config: TrainConfig) -> str:
    """Say how long a recipe takes on cards of a kind, or what doesn't fit."""
    found, room = run.estimate, FILLED * card.gib * GIB
    stages = {
        "text encoders": found.text_stage or 0,
        "autoencoder": found.pixel_stage,
        **({"training": found.training} if config.parallel.kind == "ddp" else {}),
    }
    too_large = [name for name, size in stages.items() if size > room]
    if too_large:
        return f"no: {' and '.join(too_large)}"
    hours = (config.num_steps * found.flops + found.samples_flops) / (card.tflops * 1e12) / 3600 / UTILISATION
    if config.parallel.kind == "ddp":
        return duration(hours)
    number = found.cards(float(card.gib * GIB), config)
    if number is None:
        return f"no: training, on up to {config.batch_size} cards"
    return f"{number} cards, {duration(hours / number)}"


def duration(hours: float) -> str:
    """Write hours, or days from two on."""
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"


def head_of(run: DryRun, config: TrainConfig) -> str:
    """Write the line that stands in a recipe's head."""
    found = run.estimate
    before = max(found.text_stage or 0, found.pixel_stage)
    cards = "; ".join(f"{card.gib} GB: {fits(card, run, config)}" for card in CARDS)
    return (
        f"{HEAD}{training_of(run, config) / GIB:,.1f} GiB in training, {before / GIB:,.1f} before. {cards}."
    )


def ran(recipe: Path) -> tuple[str, str]:
    """Dry-run a recipe and return its row and its head line."""
    config = config_of(recipe)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = dry_run(config, tflops=1.0)
    return row_of(recipe, run, config), head_of(run, config)


def row_in(page: str, recipe: Path) -> str:
    """Return the row of a recipe that stands in the page."""
    found = re.search(rf"^\| \[{re.escape(recipe.stem)}\].*$", page, re.MULTILINE)
    return found[0] if found else ""


def main() -> None:
    """Write the rows and head lines of the recipes that are named, or of all."""
    asked = set(sys.argv[1:])
    rows = []
    page = PAGE.read_text(encoding="utf-8")
    for recipe in RECIPES:
        if asked and recipe.stem not in asked:
            rows.append(row_in(page, recipe))
            continue
        row, head = ran(recipe)
        print(row, head, sep="\n", flush=True)
        rows.append(row)
        text = recipe.read_text(encoding="utf-8")
        recipe.write_text(re.sub(rf"^{HEAD}.*$", head, text, flags=re.MULTILINE), encoding="utf-8")
    begin, end = "<!-- rows -->\n", "\n<!-- end -->"
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    header, rule = rest.split("\n")[:2]
    PAGE.write_text(before + begin + "\n".join([header, rule, *rows]) + end + after, encoding="utf-8")


if __name__ == "__main__":
    main()
