"""The tables and plots of the page, from results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape

from videojam.bench.report.plots import Row, fitted_axis, interval_plot, share_axis
from videojam.bench.report.results import Results
from videojam.bench.report.statistics import Comparison
from videojam.evaluation.arm_colours import class_of
from videojam.evaluation.intervals import Interval
from videojam.evaluation.judge import Measure

MOST_LISTED = 300
"""Problems that the page lists; results.json has all."""
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def colour_of(results: Results, arm: str) -> str:
    """Return the class of an arm's colour."""
    return class_of(arm, results.arms)


def shown_first(results: Results) -> list[Measure]:
    """Return the measures of the first table: those that are made for it, else the first six."""
    measures = list(results.measures.values())
    return [m for m in measures if m.headline] or measures[:6]


def headline_table(results: Results, measures: Sequence[Measure], with_paper: bool = True) -> str:
    """Return a row for each arm and, in grey, for each method of the paper that has one of the measures."""
    heads = "".join(
        f'<th scope="col">{escape(m.title)}{f" {ARROWS[m.better]}" if ARROWS[m.better] else ""}'
        f"{f' <small>{escape(m.shown_unit)}</small>' if m.shown_unit else ''}</th>"
        for m in measures
    )
    rows = [_arm_row(results, arm, measures) for arm in results.arms]
    names = {m.paper for m in measures if m.paper}
    for line in results.paper if with_paper else ():
        if names & line.values.keys():
            cells = "".join(
                f"<td>{line.values[m.paper]:.1f}</td>" if m.paper and m.paper in line.values else "<td>–</td>"
                for m in measures
            )
            where = f"{line.table}, {line.benchmark}"
            rows.append(
                f'<tr class="paper"><th scope="row">{escape(line.method)} '
                f"<small>{escape(where)}</small></th><td></td>{cells}</tr>"
            )
    return _table(f'<th scope="col">Arm</th><th scope="col">clips</th>{heads}', rows)


def _arm_row(results: Results, arm: str, measures: Sequence[Measure]) -> str:
    cells = "".join(
        f"<td>{_cell(results.table[arm].get(m.key), m, results.num_clips[arm])}</td>" for m in measures
    )
    total = results.suite["num_prompts"] * results.num_seeds
    clips = f"{results.num_clips[arm]} of {total}"
    return (
        f'<tr><th scope="row"><i class="dot {colour_of(results, arm)}"></i>{escape(arm)}</th>'
        f"<td>{clips}</td>{cells}</tr>"
    )


def _cell(interval: Interval | None, measure: Measure, usual_n: int | None = None) -> str:
    """Return mean and interval; n too where it isn't the arm's number of clips."""
    if interval is None:
        return "–"
    n = "" if interval.n == usual_n else f" <small>n = {interval.n}</small>"
    ends = f"{measure.show(interval.low)} – {measure.show(interval.high)}"
    return f"<b>{measure.show(interval.mean)}</b> <small>{ends}</small>{n}"


def mean_plots(results: Results, measures: Iterable[Measure]) -> str:
    """Return a plot for each measure: the arms' means with their intervals."""
    blocks = []
    for m in measures:
        found = [(arm, results.table[arm][m.key]) for arm in results.arms if m.key in results.table[arm]]
        if not found:
            continue
        axis = share_axis() if m.percent else fitted_axis([interval for _, interval in found])
        if m.kind in ("count", "seconds"):  # below zero there is none
            axis = replace(axis, low=max(0.0, axis.low))
        rows = [
            Row(arm, i, _unit(m.show(i.mean), m), colour_of(results, arm), f"n = {i.n}") for arm, i in found
        ]
        ends = (_unit(m.show(axis.low), m), _unit(m.show(axis.high), m))
        blocks.append(f"<h3>{escape(_title(m))}</h3>\n{interval_plot(m.title, rows, axis, ends)}")
    return "\n".join(blocks)


def difference_plots(results: Results, measures: Iterable[Measure]) -> str:
    """Return a plot for each measure: each arm minus the one it is compared with, paired by prompt."""
    blocks = []
    for m in measures:
        found = results.comparisons.get(m.key, [])
        if not found:
            continue
        axis = fitted_axis([c.difference for c in found], zero=True, limit=1.0 if m.percent else None)
        rows = [
            Row(c.arm, c.difference, _difference_words(c, m), colour_of(results, c.arm), _test_words(c))
            for c in found
        ]
        ends = (
            _unit(m.show(axis.low, signed=True), m, points=True),
            _unit(m.show(axis.high, signed=True), m, points=True),
        )
        title = f"{_title(m)}: difference from {results.against}"
        blocks.append(f"<h3>{escape(title)}</h3>\n{interval_plot(title, rows, axis, ends)}")
    return "\n".join(blocks)


def _title(measure: Measure) -> str:
    better = {"higher": ", higher is better", "lower": ", lower is better", "neither": ""}[measure.better]
    return measure.title[0].upper() + measure.title[1:] + better


def _unit(text: str, measure: Measure, *, points: bool = False) -> str:
    return f"{text} {'points' if points and measure.percent else measure.shown_unit}".rstrip()


def _difference_words(c: Comparison, m: Measure) -> str:
    mean, low, high = (
        m.show(v, signed=True) for v in (c.difference.mean, c.difference.low, c.difference.high)
    )
    return f"{mean} ({low} … {high})"


def _test_words(c: Comparison) -> str:
    effect = "" if c.effect is None else f"d = {c.effect:+.2f}, ".replace("-", "−")
    p = p_words(c.p_holm).replace(" ", "\u00a0")
    return f"{effect}{c.wins} up, {c.losses} down of {c.difference.n}; {p}"


def p_words(p: float) -> str:
    """Return a p value, as "p = 0.012" or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def category_tables(results: Results, measures: Iterable[Measure]) -> str:
    """Return a table for each measure: arms by categories of prompts."""
    if not results.categories:
        return ""
    heads = '<th scope="col">Arm</th>' + "".join(
        f'<th scope="col">{escape(c)}</th>' for c in results.categories
    )
    blocks: list[str] = []
    for m in measures:
        rows = [
            f'<tr><th scope="row"><i class="dot {colour_of(results, arm)}"></i>{escape(arm)}</th>'
            + "".join(
                f"<td>{_cell(table.get(arm, {}).get(m.key), m)}</td>" for table in results.categories.values()
            )
            + "</tr>"
            for arm in results.arms
        ]
        blocks.append(
            f"<details{'' if blocks else ' open'}><summary>{escape(_title(m))}</summary>{_table(heads, rows)}</details>"
        )
    return "\n".join(blocks)


def problem_list(results: Results) -> str:
    """Return what is not as it should be, arm by arm; all of it is in results.json."""
    if not results.problems:
        return '<p class="note">None: every clip of every arm is there and was scored by every judge.</p>'
    rows = [
        f'<tr><th scope="row">{escape(p.arm)}</th><td>{escape(p.clip)}</td><td>{escape(p.what)}</td>'
        f"<td>{'left out' if p.excluded else 'counted'}</td></tr>"
        for p in results.problems[:MOST_LISTED]
    ]
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("Arm", "Clip", "What", "In the figures"))
    more = len(results.problems) - MOST_LISTED
    rest = f'<p class="note">And {more} more, in results.json.</p>' if more > 0 else ""
    return f"<details><summary>{len(results.problems)} items</summary>{_table(heads, rows)}{rest}</details>"


def _table(heads: str, rows: Iterable[str]) -> str:
    body = "\n".join(rows)
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
    )
