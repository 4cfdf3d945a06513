"""The results of a study as lines for a terminal."""

from __future__ import annotations

from videojam.bench.report.tables import p_words
from videojam.evaluation.intervals import Interval
from videojam.study.results import Compared, Results


def result_lines(results: Results) -> list[str]:
    """Return a line for each comparison and question, then what the votes are worth."""
    lines = [
        f"{results.num_votes} of {results.target} votes, {results.num_complete} of {results.num_pairs} pairs complete, "
        f"{len(results.raters)} raters"
    ]
    width = max((len(question) for question in results.questions), default=0)
    for arms in dict.fromkeys((one.arm, one.other) for one in results.compared):
        lines += ["", f"% of votes for {arms[0]} over {arms[1]}"]
        lines += [_line(one, width) for one in results.compared if (one.arm, one.other) == arms]
    lines += [""] if results.compared else []
    for question, found in results.strengths.items():
        words = ", ".join(f"{arm} {i.mean:+.2f} ({i.low:+.2f} to {i.high:+.2f})" for arm, i in found.items())
        lines.append(f"Bradley–Terry, {question}: {words}")
    if "all" in results.side_bias:
        bias = results.side_bias["all"]
        lines.append(f"side bias: {percent(bias.left)} of answers on the left, {p_words(bias.p)}")
    if "all" in results.repeats:
        lines.append(f"repeats: {percent(results.repeats['all'])} answered the same again")
    if results.checks:
        lines.append(f"attention checks: {percent(results.checks)} passed")
    return lines + results.problems + [results.rule]


def percent(i: Interval) -> str:
    """Return a share with its interval, in per cent."""
    return f"{100 * i.mean:.1f} % ({100 * i.low:.1f} to {100 * i.high:.1f})"


def _line(one: Compared, width: int) -> str:
    m = one.pairs
    majority = f"; majority {percent(m.won)} of {m.num_won + m.num_lost} pairs" if m.won else ""
    ties = f", {m.num_tied} tied" if m.num_tied else ""
    alpha = "" if one.alpha is None else f"; α = {one.alpha:.2f}"
    needed = f"; 5 points need {one.needed:,} votes"
    votes = f"{percent(one.votes.both)}, n = {one.votes.both.n}"
    return f"  {one.question:<{width}}  {votes}{majority}{ties}{alpha}{needed}"
