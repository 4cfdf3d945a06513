"""The report of a study as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from videojam.bench.report.human import HumanVotes, Row, arm_cells, paper_rows, votes_note, votes_table
from videojam.bench.report.tables import p_words
from videojam.evaluation import arm_colours
from videojam.evaluation.intervals import Interval
from videojam.study.results import Compared, Results
from videojam.study.text import percent

PAPER_TABLES = ("table1", "table2", "table3", "table6")


def render(results: Results, votes: HumanVotes) -> str:
    """Return the page.

    Args:
        results: Every figure.
        votes: Those for the first arm, as a bench shows them.
    """
    css = (files("videojam.bench.report") / "page.css").read_text(encoding="utf-8")
    sections = [
        ("Votes beside the paper’s", _beside(votes) + votes_note(votes)),
        ("All comparisons", _comparisons(results.compared)),
        ("By category of prompt", _comparisons(results.categories)),
        ("Strengths of arms", _strengths(results)),
        ("What the votes are worth", _worth(results)),
        ("Raters", f'<p class="note">{escape(results.rule)}</p>' + _raters(results)),
        ("Left out", _left_out(results)),
    ]
    body = "\n".join(
        f"<section><h2>{name}</h2>\n{content}\n</section>" for name, content in sections if content
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(results.title)}</title><style>{arm_colours.css()}\n{css}</style></head><body>"
        f'<header><h1>{escape(results.title)}</h1><p class="lede">{results.num_votes} of {results.target} votes, '
        f"{results.num_complete} of {results.num_pairs} pairs complete; {', '.join(map(escape, results.arms))}. "
        f"{results.made_at}, videojam {results.version}.</p></header>\n<main>\n{body}\n</main></body></html>\n"
    )


def _beside(votes: HumanVotes) -> str:
    rows = [Row(arm, "", arm_cells(votes, arm), []) for arm in dict.fromkeys(s.arm for s in votes.shares)]
    rows += [Row(name, where, cells, []) for name, where, cells in paper_rows(votes, PAPER_TABLES)]
    return votes_table(votes, rows)


def _comparisons(compared: Sequence[Compared]) -> str:
    if not compared:
        return ""
    categories = any(one.category for one in compared)
    heads = [
        *(["Category"] if categories else []), "Arm", "over", "Question", "Votes, %", "by prompts only",
        "by raters only", "as independent", "Majority, %", "Pairs won, lost, tied", "α", "Votes for 5 points",
    ]  # fmt: skip
    rows = []
    for one in compared:
        v, m = one.votes, one.pairs
        rows.append(
            [
                *([one.category or ""] if categories else []),
                one.arm,
                one.other,
                one.question.replace("_", " "),
                f"{percent(v.both)}, n = {v.both.n}",
                _ends(v.prompts),
                _ends(v.raters),
                _ends(v.wilson),
                percent(m.won) if m.won else "–",
                f"{m.num_won}, {m.num_lost}, {m.num_tied}",
                "–" if one.alpha is None else f"{one.alpha:.2f}",
                f"{one.needed:,}",
            ]
        )
    return _table(heads, rows)


def _strengths(results: Results) -> str:
    if not results.strengths:
        return ""
    heads = ["Arm", *(name.replace("_", " ") for name in results.strengths)]
    rows = []
    for arm in results.arms:
        found = [table[arm] for table in results.strengths.values()]
        rows.append([arm, *(f"{i.mean:+.2f} ({i.low:+.2f} to {i.high:+.2f})" for i in found)])
    return _table(heads, rows) + (
        '<p class="note">Bradley–Terry log strengths with mean 0: an arm wins against one that lies s below it '
        "with the probability 1/(1 + e^−s). Intervals: bootstrap over prompts.</p>"
    )


def _worth(results: Results) -> str:
    rows = []
    for name in (*results.questions, "all"):
        bias, again = results.side_bias.get(name), results.repeats.get(name)
        rows.append(
            [
                name.replace("_", " "),
                f"{percent(bias.left)}, {p_words(bias.p)}" if bias else "–",
                percent(again) if again else "–",
            ]
        )
    checks = f"{percent(results.checks)} of attention checks were passed." if results.checks else "No checks."
    return _table(["Question", "Answers for A", "Repeats answered the same"], rows) + (
        f'<p class="note">{checks} α is Krippendorff’s, for nominal values, over pairs: 1 is full agreement of raters '
        "on which arm won, 0 is chance. “Votes for 5 points”: votes that show 55 % against 50 % with a power of 80 %, "
        "clustered in prompts and raters as these are.</p>"
    )


def _raters(results: Results) -> str:
    heads = [
        "Rater",
        "Pairs",
        "Checks passed",
        "Answers for A",
        "Repeats the same",
        "Median time, s",
        "Left out",
    ]
    rows = [
        [
            str(row.rater),
            str(row.num_pairs),
            f"{row.record.num_passed} of {row.record.num_checks}",
            f"{row.record.num_left} of {row.record.num_answers}",
            f"{row.num_agreed} of {row.num_repeats}",
            f"{row.median_s:.1f}",
            row.excluded or "no",
        ]
        for row in results.raters
    ]
    more = f"{results.num_invited} raters have not voted; {results.num_deleted} had their data deleted."
    return _table(heads, rows) + f'<p class="note">{more}</p>'


def _left_out(results: Results) -> str:
    rows = [[name, why] for name, why in results.unmatched.items()]
    problems = "".join(f"<li>{escape(text)}</li>" for text in results.problems)
    table = _table(["In no pair", "Why"], rows) if rows else ""
    return (f"<ul>{problems}</ul>" if problems else "") + table


def _ends(i: Interval | None) -> str:
    return f"{100 * i.low:.1f} to {100 * i.high:.1f}" if i else "–"


def _table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "\n".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
