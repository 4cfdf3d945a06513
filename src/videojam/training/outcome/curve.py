"""A run's losses against its steps: as a picture, and in words for the card's table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from videojam.training.log import Line

HALVES = {"appearance": "#0072B2", "motion": "#D55E00"}
"""Losses of a log line, each with its colour (Okabe and Ito's)."""
DPI = 150


def draw_curve(lines: Sequence[Line], out: Path) -> bool:
    """Draw training and held-out losses against steps; return whether there was anything to draw and to draw with.

    Args:
        lines: The run's log.
        out: PNG file.
    """
    trained = [line for line in lines if "loss" in line]
    if not trained or find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for half, colour in HALVES.items():
        points = [(line["step"], line[half]) for line in trained if half in line]
        if points:
            axes.plot(
                *zip(*points, strict=True), color=colour, linewidth=1, alpha=0.6, label=f"{half}, training"
            )
        heldout = heldout_means(lines, half)
        if heldout:
            axes.plot(
                *zip(*heldout, strict=True), color=colour, marker="o", markersize=3, label=f"{half}, held out"
            )
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.grid(alpha=0.2)
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(out, dpi=DPI, format="png")
    return True


def heldout_means(lines: Sequence[Line], half: str) -> list[tuple[int, float]]:
    """Return (step, held-out loss) of a half of the model, the mean over the measured times.

    Args:
        lines: The run's log.
        half: appearance or motion.
    """
    found = []
    for line in lines:
        values = [value for key, value in line.items() if key.startswith(f"heldout_{half}@")]
        if values:
            found.append((line["step"], sum(values) / len(values)))
    return found


def heldout_table(lines: Sequence[Line]) -> list[str]:
    """Return a Markdown table of the held-out losses at each time, of the first and the last measurement.

    Args:
        lines: The run's log.
    """
    measured = [line for line in lines if any(key.startswith("heldout_") for key in line)]
    if not measured:
        return []
    first, last = measured[0], measured[-1]
    rows = [f"| held-out loss | step {first['step']} | step {last['step']} |", "|---|---|---|"]
    for key in (key for key in last if key.startswith("heldout_")):
        half, t = key.removeprefix("heldout_").split("@")
        rows.append(f"| {half}, t = {t} | {first.get(key, float('nan')):.4f} | {last[key]:.4f} |")
    return rows
