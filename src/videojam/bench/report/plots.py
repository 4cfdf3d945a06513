"""Plots as rows of inline SVG: drawn in per cent of the width, so that they fit a phone and text keeps its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from videojam.evaluation.intervals import Interval

HEIGHT_PX = 22


@dataclass(frozen=True)
class Row:
    """One line of a plot.

    Attributes:
        label: Name of the arm.
        interval: What is drawn.
        text: Its numbers, in words.
        colour: Class of the arm's colour.
        note: Further words, in grey.
    """

    label: str
    interval: Interval
    text: str
    colour: str
    note: str = ""


@dataclass(frozen=True)
class Axis:
    """The range of a plot.

    Attributes:
        low: Left end.
        high: Right end.
        zero: Whether a line marks zero.
    """

    low: float
    high: float
    zero: bool = False

    def place(self, value: float) -> float:
        """Return where a value is, in per cent of the width, held inside."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)


def share_axis() -> Axis:
    """Return the axis of shares: all of 0..1, so that small differences look small."""
    return Axis(0.0, 1.0)


def fitted_axis(intervals: Sequence[Interval], zero: bool = False, limit: float | None = None) -> Axis:
    """Return an axis that holds some intervals with a margin, and zero if it is to be marked; no end beyond ±limit."""
    ends = [end for i in intervals for end in (i.low, i.high, i.mean)] + ([0.0] if zero else [])
    low, high = min(ends), max(ends)
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = low - margin, high + margin
    return Axis(low if limit is None else max(low, -limit), high if limit is None else min(high, limit), zero)


def interval_plot(title: str, rows: Sequence[Row], axis: Axis, ends: tuple[str, str]) -> str:
    """Return a plot: a bar from low to high and a mark at the mean, a row for each arm.

    Args:
        title: What it shows, for those who don't see it.
        rows: From top to bottom.
        axis: The range.
        ends: What is written at its left and right end.
    """
    lines = "\n".join(_row(row, axis) for row in rows)
    return (
        f'<div class="plot" role="table" aria-label="{escape(title)}">\n{lines}\n'
        f'  <div class="axis" aria-hidden="true"><span>{escape(ends[0])}</span><span>{escape(ends[1])}</span></div>\n'
        "</div>"
    )


def _row(row: Row, axis: Axis) -> str:
    low, mean, high = (axis.place(v) for v in (row.interval.low, row.interval.mean, row.interval.high))
    zero = ""
    if axis.zero:
        zero = f'<line class="zero" x1="{axis.place(0.0)}%" x2="{axis.place(0.0)}%" y1="0" y2="{HEIGHT_PX}"/>'
    svg = (
        f'<svg width="100%" height="{HEIGHT_PX}" aria-hidden="true">{zero}'
        f'<rect class="interval" x="{low}%" y="6" width="{max(high - low, 0.2):.2f}%" height="10" rx="2"/>'
        f'<rect class="mean" x="{mean}%" y="2" width="3" height="18" transform="translate(-1.5 0)"/></svg>'
    )
    note = f" <small>{escape(row.note)}</small>" if row.note else ""
    return (
        f'  <div class="row {row.colour}" role="row"><span class="name" role="rowheader">{escape(row.label)}</span>'
        f'{svg}<span class="value" role="cell">{escape(row.text)}{note}</span></div>'
    )
