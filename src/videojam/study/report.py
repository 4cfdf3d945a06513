"""The files of a study's report, and its place in a bench."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from videojam.bench.folder import Bench
from videojam.bench.report.human import FOLDER, HumanShare, HumanVotes
from videojam.errors import VideoJamError
from videojam.files import write_text
from videojam.study.config import load_study
from videojam.study.database import Database
from videojam.study.page import render
from videojam.study.results import Compared, Results, build_results
from videojam.study.tally import Tally, read_tally

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With which spreadsheets begin a formula; ids of a crowd are what anyone may have typed into a link."""


def write_report(folder: Path, bench: Path | None = None) -> Results:
    """Compute the results and write them to DIR/report, and into a bench's folder `human`.

    Args:
        folder: Of the study.
        bench: Bench whose report is to show them; none if not given.

    Raises:
        VideoJamError: no study or votes of another one, an arm that the bench doesn't have, or no room.
    """
    study = load_study(folder)
    database = Database.open(folder, study, read_only=True)
    try:
        tally = read_tally(database, study)
    finally:
        database.close()
    results = build_results(tally)
    out = folder / "report"
    write_text(out / "results.json", json.dumps(plain(results), indent=2, allow_nan=False) + "\n")
    write_text(out / "results.csv", _csv(_result_rows(results)))
    write_text(out / "votes.csv", _csv(_vote_rows(tally)))
    write_text(out / "raters.csv", _csv(_rater_rows(results)))
    write_text(out / "index.html", render(results, human_votes(results)))
    if bench is not None:
        _take_into(Bench.open(bench), results)
    return results


def plain(results: Results) -> dict[str, Any]:
    """Return the results as plain data."""
    return {"format": 1, **asdict(results)}


def human_votes(results: Results) -> HumanVotes:
    """Return the votes for the first arm over each other one, as a bench shows them."""
    main = results.arms[0]
    shares = [
        HumanShare(
            arm=one.other,
            question=one.question,
            votes=one.votes.both.mean,
            low=one.votes.both.low,
            high=one.votes.both.high,
            num_votes=one.votes.both.n,
            majority=one.pairs.won.mean if one.pairs.won else None,
            num_pairs=one.pairs.num_won + one.pairs.num_lost,
        )
        for one in results.compared
        if one.arm == main
    ]
    out = sum(bool(row.excluded) for row in results.raters)
    note = f"{results.num_votes} of {results.target} votes by {len(results.raters) - out} raters, {out} left out."
    alphas = {
        one.question: one.alpha for one in results.compared if one.arm == main and one.alpha is not None
    }
    if alphas and len(results.arms) == 2:
        note += (
            " Krippendorff’s α " + ", ".join(f"{name} {alpha:.2f}" for name, alpha in alphas.items()) + "."
        )
    return HumanVotes(
        study=results.study, title=results.title, made_at=results.made_at, arm=main, questions=results.questions,
        shares=tuple(shares), note=note,
    )  # fmt: skip


def _take_into(bench: Bench, results: Results) -> None:
    unknown = [arm for arm in results.arms if arm not in bench.arms]
    if unknown:
        raise VideoJamError(
            expected=f"a bench with the study's arms {', '.join(results.arms)}",
            found=f"no {', '.join(unknown)}; it has {', '.join(bench.arms) or 'none'}",
            where=str(bench.folder),
            fix="Give the bench that the clips are from; the report itself was written.",
        )
    content = human_votes(results).model_dump_json(indent=2)
    write_text(bench.folder / FOLDER / f"{results.study}.json", content + "\n")


def _result_rows(results: Results) -> Iterable[Sequence[Any]]:
    yield (
        "arm", "over", "question", "category", "votes", "low", "high", "num_votes", "prompts_low", "prompts_high",
        "raters_low", "raters_high", "wilson_low", "wilson_high", "majority", "majority_low", "majority_high",
        "pairs_won", "pairs_lost", "pairs_tied", "alpha", "design_effect", "votes_needed_for_5_points",
    )  # fmt: skip
    for one in (*results.compared, *results.categories):
        yield _result_row(one)


def _result_row(one: Compared) -> Sequence[Any]:
    v, m = one.votes, one.pairs
    ends = [end for i in (v.prompts, v.raters, v.wilson) for end in ((i.low, i.high) if i else ("", ""))]
    won = (m.won.mean, m.won.low, m.won.high) if m.won else ("", "", "")
    alpha = "" if one.alpha is None else one.alpha
    return (
        one.arm, one.other, one.question, one.category or "", v.both.mean, v.both.low, v.both.high, v.both.n, *ends,
        *won, m.num_won, m.num_lost, m.num_tied, alpha, v.design_effect, one.needed,
    )  # fmt: skip


def _vote_rows(tally: Tally) -> Iterable[Sequence[Any]]:
    """A row for each answer; `videojam study import` reads these columns."""
    yield (
        "prompt", "category", "rater", "question", "left", "right", "choice", "kind", "pair", "prompt_id", "took_s",
        "excluded",
    )  # fmt: skip
    out = {row.rater: row.excluded for row in tally.raters}
    for v in tally.votes:
        left, right = v.pair.arms if v.first_is_left else v.pair.arms[::-1]
        yield (
            v.pair.prompt, v.pair.category or "", v.rater, v.question, left, right, left if v.left_won else right,
            v.kind, v.pair.id, v.pair.prompt_id, round(v.took_s, 3), out.get(v.rater, ""),
        )  # fmt: skip


def _rater_rows(results: Results) -> Iterable[Sequence[Any]]:
    yield (
        "rater", "label", "platform", "code", "pairs", "checks", "checks_passed", "answers", "answers_left", "repeats",
        "repeats_same", "median_s", "excluded",
    )  # fmt: skip
    for row in results.raters:
        r = row.record
        yield (
            row.rater, row.label, row.platform, row.code, row.num_pairs, r.num_checks, r.num_passed, r.num_answers,
            r.num_left, row.num_repeats, row.num_agreed, row.median_s, row.excluded,
        )  # fmt: skip


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return stream.getvalue()


def _cell(value: Any) -> Any:
    """Return a cell; text that a spreadsheet would run as a formula gets a quote before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
