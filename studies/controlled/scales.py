"""The rule of docs/when-the-premise-fails.md by which each arm gets its own guidance scale."""

from __future__ import annotations

import re
from typing import Any

JUDGE = "world-v1"
FOLLOWS_MARGIN = 0.05
ARM = re.compile(r"(?P<arm>.+?)-w(?P<w_text>[\d.]+)(?:-m(?P<w_motion>[\d.]+))?")


def chosen_scales(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Each arm's best scale of a grid's results.json.

    The highest share of coherent clips, among scales whose `follows_prompt` is at most 5 points under the
    arm's best; ties go to the smaller scale.
    """
    grid: dict[str, list[tuple[dict[str, float], float, float]]] = {}
    for name, measures in results["table"].items():
        match = ARM.fullmatch(name)
        if match is None:
            raise ValueError(f"{name!r} is not the name of a grid's arm")
        scales = {key: float(value) for key, value in match.groupdict().items() if key != "arm" and value}
        means = (measures[f"{JUDGE}.{name}"]["mean"] for name in ("coherent", "follows_prompt"))
        grid.setdefault(match["arm"], []).append((scales, *means))
    chosen = {}
    for arm, rows in grid.items():
        floor = max(follows for *_, follows in rows) - FOLLOWS_MARGIN
        fit = [row for row in rows if row[2] >= floor]
        chosen[arm] = max(fit, key=lambda row: (row[1], -sum(row[0].values())))[0]
    return chosen
