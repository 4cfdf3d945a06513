"""How measures are shown: their names for people, their unit, and which way is better where that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from videojam.evaluation.vbench.aggregate import DIMENSIONS

Better = Literal["higher", "lower", "unknown"]


@dataclass(frozen=True)
class Measure:
    """One measure of one judge.

    Attributes:
        judge: The judge's name.
        name: The measure's, as the judge calls it.
        label: For people.
        percent: Whether 0..1 is shown as 0..100 %.
        better: Which way is better.
        headline: Whether it stands in the first table.
    """

    judge: str
    name: str
    label: str
    percent: bool
    better: Better
    headline: bool

    @property
    def key(self) -> str:
        """Name that is unique in a bench."""
        return f"{self.judge}.{self.name}"

    def show(self, value: float, signed: bool = False) -> str:
        """Return a value as people read it."""
        digits = f"{'+' if signed else ''}.{1 if self.percent else 3}f"
        return format(100 * value if self.percent else value, digits).replace("-", "−")


def measure_of(judge: str, name: str) -> Measure:
    """Return how a measure is shown; one that isn't known here is shown as it is."""
    label = name.replace("_", " ")
    if judge.startswith("vbench"):
        return Measure(judge, name, f"VBench {label}", True, "higher", True)
    if judge.startswith("world"):
        percent, better, headline = _WORLD.get(name, (False, "unknown", False))
        return Measure(judge, name, label, percent, better, headline)
    if judge.startswith("proxies"):
        label = label.removeprefix("proxy ")
        return Measure(judge, name, f"{label} (proxy)", name == "proxy_dynamic", "unknown", False)
    if judge in EXTERNAL:
        return Measure(judge, name, f"{label} ({judge})", False, "higher", True)
    return Measure(judge, name, f"{label} ({judge})", False, "unknown", False)


EXTERNAL = ("vmbench", "videophy", "trajan")
"""Judges that ran elsewhere and tell of single clips."""

_WORLD: dict[str, tuple[bool, Better, bool]] = {
    "coherent": (True, "higher", True),
    "follows_prompt": (True, "higher", True),
    "broken_laws": (False, "lower", True),
    "palette_error": (False, "lower", False),
    "hue_error_deg": (False, "lower", False),
    "part_area_spread": (False, "lower", False),
    "background_error": (False, "lower", False),
    "background_flicker": (False, "lower", False),
}

PAPER_NAMES = (*DIMENSIONS, "appearance", "motion")
"""Measures of VBench that the paper prints too."""
