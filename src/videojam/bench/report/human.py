"""Human votes in a bench: files of `videojam study report --bench` in its folder `human`, beside the paper's rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from videojam.bench.folder import Bench
from videojam.bench.report.collect import Problem
from videojam.evaluation.paper import paper_tables
from videojam.misfits import reason

if TYPE_CHECKING:
    from videojam.bench.report.results import Results
    from videojam.evaluation.judge import Measure

FOLDER = "human"
PAPER_QUESTIONS = ("text_faithfulness", "quality", "motion")
"""The paper's human columns, in its order."""


class HumanShare(BaseModel):
    """Votes for the study's main arm over another one, on one question; shares in 0..1."""

    model_config = ConfigDict(frozen=True)

    arm: str = Field(description="The other arm.")
    question: str = Field(description="Name of the question.")
    votes: float = Field(description="Share of votes.")
    low: float = Field(description="Lower end of its 95 % interval over prompts and raters.")
    high: float = Field(description="Upper end.")
    num_votes: int = Field(description="Votes.")
    majority: float | None = Field(None, description="Share of pairs won by majority, of those decided.")
    num_pairs: int = Field(0, description="Pairs that are decided.")


class HumanVotes(BaseModel):
    """What a study found, as the report of a bench shows it."""

    model_config = ConfigDict(frozen=True)

    format: int = Field(1, description="Of this file.")
    study: str = Field(description="Its id.")
    title: str = Field("", description="Head of the raters' page.")
    made_at: str = Field("", description="Date of the report.")
    arm: str = Field(description="The main arm.")
    questions: dict[str, str] = Field(description="Text by name.")
    shares: tuple[HumanShare, ...] = Field(description="By the other arm and question.")
    note: str = Field("", description="Raters, exclusions, agreement, in a sentence or two.")


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: Arm or the paper's method.
        where: Table of the paper; empty for an arm.
        human: Cells of the questions.
        rest: Cells of the measures.
    """

    name: str
    where: str
    human: list[str]
    rest: list[str]


def find_votes(bench: Bench) -> tuple[list[HumanVotes], list[Problem]]:
    """Return the studies in `human/*.json`, and what is there besides."""
    found, problems = [], []
    for path in sorted((bench.folder / FOLDER).glob("*.json")):
        try:
            votes = HumanVotes.model_validate_json(path.read_text(encoding="utf-8"))
            if votes.format != 1:
                raise ValueError(f"format {votes.format}")
        except (OSError, ValueError) as error:
            why = f"{reason(error)}; not the file of a study's report"
            problems.append(Problem(FOLDER, path.name, why, True))
            continue
        found.append(votes)
    return found, problems


def human_section(results: Results, first: Sequence[Measure], tables: Iterable[str]) -> str:
    """Return the section of the page: a table for each study, laid out as the paper's; empty without studies.

    Args:
        results: With the studies.
        first: Measures shown beside the votes.
        tables: The paper's tables of which human rows are shown.
    """
    if not results.human:
        return ""
    blocks = [_study(results, votes, first, list(tables)) for votes in results.human]
    return (
        '<section aria-labelledby="human">\n  <h2 id="human">Human votes</h2>\n'
        + "\n".join(blocks)
        + "\n</section>"
    )


def votes_table(votes: HumanVotes, rows: Sequence[Row], measures: Sequence[Measure] = ()) -> str:
    """Return the table of one study."""
    heads = "".join(
        f'<th scope="col" title="{escape(text, quote=True)}">{escape(name.replace("_", " "))} <small>%</small></th>'
        for name, text in votes.questions.items()
    )
    heads += "".join(f'<th scope="col">{escape(m.title)}</th>' for m in measures)
    body = "\n".join(
        f'<tr{" class=" + chr(34) + "paper" + chr(34) if row.where else ""}><th scope="row">{escape(row.name)}'
        f"{f' <small>{escape(row.where)}</small>' if row.where else ''}</th>"
        + "".join(f"<td>{cell}</td>" for cell in (*row.human, *row.rest))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr><th scope="col">Arm</th>{heads}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def arm_cells(votes: HumanVotes, arm: str) -> list[str]:
    """Return a cell for each question: votes with their interval, and majorities."""
    by_question = {share.question: share for share in votes.shares if share.arm == arm}
    return [_cell(by_question.get(name)) for name in votes.questions]


def paper_rows(votes: HumanVotes, tables: Iterable[str]) -> list[tuple[str, str, list[str]]]:
    """Return the paper's methods with their human columns: name, where, and a cell for each question."""
    rows = []
    for table in (paper_tables()[name] for name in tables):
        for row in table.rows.values():
            if row.human:
                values = dict(zip(PAPER_QUESTIONS, row.human, strict=True))
                cells = [f"{values[name]:.1f}" if name in values else "–" for name in votes.questions]
                where = f"{table.name.replace('table', 'Table ')}, {table.against} over it"
                rows.append((row.method, where, cells))
    return rows


def votes_note(votes: HumanVotes) -> str:
    """Return what a reader must know of the figures."""
    return (
        f'<p class="note">Per cent of votes for <b>{escape(votes.arm)}</b> over the row’s arm, with the 95 % interval '
        "over prompts and raters; below it the per cent of pairs won by majority, which lies further from "
        f"50 % for the same preference. {escape(votes.note)} Study {escape(votes.study)}, {escape(votes.made_at)}. "
        "Grey: what the paper "
        "prints, of its own models, prompts and raters, without intervals; no figure here is compared with it.</p>"
    )


def _study(results: Results, votes: HumanVotes, first: Sequence[Measure], tables: list[str]) -> str:
    others = list(dict.fromkeys(share.arm for share in votes.shares))
    rows = []
    for arm in [*others, votes.arm]:
        values = results.table.get(arm, {})
        rest = [m.show(values[m.key].mean) if m.key in values else "–" for m in first]
        human = (
            ["(over the others)"] + [""] * (len(votes.questions) - 1)
            if arm == votes.arm
            else arm_cells(votes, arm)
        )
        rows.append(Row(arm, "", human, rest))
    automatic = {line.method: line.values for line in results.paper}
    for name, where, cells in paper_rows(votes, tables):
        values_of = automatic.get(name, {})
        rest = [f"{values_of[m.paper]:.1f}" if m.paper and m.paper in values_of else "–" for m in first]
        rows.append(Row(name, where, cells, rest))
    return votes_table(votes, rows, first) + votes_note(votes)


def _cell(share: HumanShare | None) -> str:
    if share is None:
        return "–"
    majority = (
        ""
        if share.majority is None
        else f" <small>majority {100 * share.majority:.0f} % of {share.num_pairs} pairs</small>"
    )
    return (
        f"<b>{100 * share.votes:.1f}</b> <small>{100 * share.low:.1f} – {100 * share.high:.1f}</small> "
        f"<small>n = {share.num_votes}</small>{majority}"
    )
