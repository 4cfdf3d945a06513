"""The results as lines for a terminal."""

from __future__ import annotations

from videojam.bench.report.finding import find
from videojam.bench.report.results import Results
from videojam.bench.report.tables import p_words, shown_first

MOST_PROBLEMS = 20


def table_lines(results: Results) -> list[str]:
    """Return the finding, then, for each of the first measures, a line for each arm.

    Such a line has the mean with its interval, and the difference from the arm compared with.
    """
    width = max((len(arm) for arm in results.arms), default=0)
    finding = find(results)
    lines = [text for text in (finding.first, *finding.others, finding.caution) if text]
    lines += [""] if lines else []
    for measure in shown_first(results):
        lines.append(f"{measure.title}{f' ({measure.shown_unit})' if measure.shown_unit else ''}")
        differences = {c.arm: c for c in results.comparisons.get(measure.key, [])}
        for arm in results.arms:
            i = results.table[arm].get(measure.key)
            if i is None:
                lines.append(f"  {arm:<{width}}  –")
                continue
            ends = f"{measure.show(i.low)} to {measure.show(i.high)}"
            line = f"  {arm:<{width}}  {measure.show(i.mean)} ({ends}), n = {i.n}"
            if arm in differences:
                c = differences[arm]
                mean, low, high = (
                    measure.show(v, signed=True)
                    for v in (c.difference.mean, c.difference.low, c.difference.high)
                )
                line += f"; minus {c.against}: {mean} ({low} to {high}), {p_words(c.p_holm)}"
            lines.append(line)
    return lines


def problem_lines(results: Results) -> list[str]:
    """Return the problems, the first of each arm and reason with their number."""
    groups: dict[tuple[str, str], list[str]] = {}
    for problem in results.problems:
        groups.setdefault((problem.arm, problem.what), []).append(problem.clip)
    lines = [
        f"{arm}: {clips[0]}{f' and {len(clips) - 1} more' if len(clips) > 1 else ''}: {what}"
        for (arm, what), clips in groups.items()
    ]
    rest = len(lines) - MOST_PROBLEMS
    return lines[:MOST_PROBLEMS] + (
        [f"and {rest} more kinds of problem, in results.json"] if rest > 0 else []
    )
