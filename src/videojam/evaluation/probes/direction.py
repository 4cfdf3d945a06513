"""Does guidance point towards the data? The scale of a push that would lower the error most, and what follows from it.

    r = target − u,   g = u − u₀,   ‖r − w·g‖² is least at w* = Σ⟨r, g⟩ / Σ⟨g, g⟩

u is the prediction from text and motion, u₀ that without one of them, and u + w·g what guidance by it predicts (Eq. 8).
An ideal model has w* = 0. At w* < 0 guidance goes away from the data; below −0.5 even u₀ is nearer to it than u.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NEUTRAL = 0.05
"""|w*| up to which guidance counts as neither towards nor away from the data: the gate of docs/study-premise.md."""
SCALES_TO_TRY = (1.0, 3.0)
"""w2 that are tried first: w* does not give the scale that looks best. 3 is the paper's."""


def best_scale(part: NDArray[np.float64], whole: NDArray[np.float64]) -> dict[str, float | int | None]:
    """Return w* = Σ⟨r, g⟩ / Σ⟨g, g⟩ with its bootstrap interval over clips.

    A single clip has no interval, and a condition that changes no prediction has no w*: these are None.

    Args:
        part: ⟨r, g⟩ of each clip.
        whole: ⟨g, g⟩ of each clip, in the same order.
    """
    nothing: dict[str, float | int | None] = {"mean": None, "low": None, "high": None, "n": len(part)}
    if not whole.sum() > 0:
        return nothing
    if len(part) < 2 or (whole == 0).any():  # a resample could hold only clips without a push
        return nothing | {"mean": float(part.sum() / whole.sum())}
    from videojam.evaluation.intervals import ratio_of_sums  # scipy, which the study does without on a GPU

    return dict(asdict(ratio_of_sums(part, whole)))


def towards_times(lines: Sequence[dict[str, Any]]) -> list[bool]:
    """Return for each line whether its w* is at least neutral: the interval reaches −0.05, or w* does without one."""
    return [
        line["w_star"]["mean"] is not None
        and max(line["w_star"]["mean"], _end(line["w_star"], "high")) >= -NEUTRAL
        for line in lines
    ]


def window_of(lines: Sequence[dict[str, Any]]) -> tuple[float, float] | None:
    """Return the longest range of t without a measured time at which guidance points away, or None.

    It ends half-way to the next measured time, and at 0 or 1 where there is none.

    Args:
        lines: Of one condition, in rising t.
    """
    runs: list[tuple[int, int]] = []
    start: int | None = None
    for i, towards in enumerate([*towards_times(lines), False]):
        if towards and start is None:
            start = i
        elif not towards and start is not None:
            runs.append((start, i))
            start = None
    if not runs:
        return None
    first, after = max(runs, key=lambda run: run[1] - run[0])
    times = [line["t"] for line in lines]
    low = (times[first - 1] + times[first]) / 2 if first else 0.0
    high = (times[after - 1] + times[after]) / 2 if after < len(times) else 1.0
    return round(low, 3), round(high, 3)


def advice(summary: Sequence[dict[str, Any]]) -> str:
    """Say in one sentence whether Inner-Guidance points towards the data, and which w2 and window to try.

    Args:
        summary: Of the guidance probe.
    """
    lines = [line for line in summary if line["condition"] == "motion"]
    if not lines:
        return "This model has no motion half, so there is no Inner-Guidance to choose."
    if all(line["w_star"]["mean"] is None for line in lines):
        return "Motion changes no prediction of this model (it may not be trained yet): use --w-motion 0."
    window = window_of(lines)
    if window is None:
        return "Inner-Guidance points away from the data at every measured t: use --w-motion 0."
    above = [line["w_star"]["mean"] for line in lines if _end(line["w_star"], "low") > NEUTRAL]
    scales = " and ".join(f"--w-motion {w:g}" for w in SCALES_TO_TRY)
    flags = f"try {scales} with --window t:{window[0]:g}-{window[1]:g}"
    if all(towards_times(lines)):
        kind = f"towards the data (w* up to {max(above):.2f})" if above else "neither away from the data"
        more = " at some t and away from it at none" if above else " nor clearly towards it at any measured t"
        return f"Inner-Guidance points {kind}{more}: {flags}, beside --w-motion 0."
    away = ", ".join(
        f"{line['t']:g}" for line, fine in zip(lines, towards_times(lines), strict=True) if not fine
    )
    return f"Inner-Guidance points away from the data at t = {away}: {flags}, beside --w-motion 0."


class Advice(NamedTuple):
    """What a guidance probe would have a model sampled with, unless the user says otherwise.

    Attributes:
        w_text: w1; None: what it is.
        w_motion: w2; None: the model has no motion half.
        window: When motion guides, as users write it; None: what it is.
    """

    w_text: float | None
    w_motion: float | None
    window: str | None


def advised(summary: Sequence[dict[str, Any]]) -> Advice:
    """Return the weights and the window that follow from w*, cautiously: w* does not give the scale that looks best.

    w2 is the paper's 3 where guidance by motion points clearly towards the data at some t, 1 where it only points
    nowhere away, in the window of t without a time at which it points away; 0 where there is no such window. w1 is 0
    where guidance by text points away from the data at every t, or changes nothing, and else stays.

    Args:
        summary: Of the guidance probe.
    """
    text, motion = ([line for line in summary if line["condition"] == name] for name in ("text", "motion"))
    w_text = 0.0 if text and window_of(text) is None else None
    if not motion:
        return Advice(w_text, None, None)
    window = window_of(motion)
    if window is None:
        return Advice(w_text, 0.0, None)
    inside = [line for line in motion if window[0] <= line["t"] <= window[1]]
    clearly = any(_end(line["w_star"], "low") > NEUTRAL for line in inside)
    return Advice(w_text, SCALES_TO_TRY[1 if clearly else 0], f"t:{window[0]:g}-{window[1]:g}")


def _end(interval: dict[str, Any], end: str) -> float:
    """One end of an interval; without one, the mean itself."""
    value = interval["mean"] if interval[end] is None else interval[end]
    return float("-inf") if value is None else float(value)
