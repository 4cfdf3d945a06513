"""The paper's tables 1 to 7 (arXiv 2502.02492) as data, and what follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from videojam.errors import VideoJamError
from videojam.evaluation.vbench.aggregate import (
    APPEARANCE,
    DIMENSIONS,
    MOTION,
    RANGES,
    WEIGHTS,
    Dimension,
    appearance,
    motion,
)

HALF_DIGIT = 0.05
"""The paper prints one decimal of a per cent."""


@dataclass(frozen=True)
class PaperRow:
    """A row of a table, in per cent.

    Attributes:
        method: As the paper names it.
        human: Votes for VideoJAM over this method on text faithfulness, quality and motion.
        appearance: VBench aggregate.
        motion: VBench aggregate.
        breakdown: Raw VBench dimensions.
    """

    method: str
    human: tuple[float, float, float] | None = None
    appearance: float | None = None
    motion: float | None = None
    breakdown: dict[Dimension, float] | None = None


@dataclass(frozen=True)
class PaperTable:
    """A table.

    Attributes:
        name: "table1" … "table7".
        benchmark: Its prompts.
        against: The method that humans compared each row with.
        breakdown_table: Which table breaks its automatic columns down.
        rows: By method, in the paper's order.
    """

    name: str
    benchmark: str
    against: str | None
    breakdown_table: str | None
    rows: dict[str, PaperRow]


@dataclass(frozen=True)
class Inconsistency:
    """Two figures of the paper that can't both be right.

    Attributes:
        table: Where the first is printed.
        method: Its row.
        column: "appearance" or "motion".
        printed: The first figure, in per cent.
        other: The second.
        why: What the second is.
    """

    table: str
    method: str
    column: str
    printed: float
    other: float
    why: str


@cache
def paper_tables() -> dict[str, PaperTable]:
    """Return the tables by name; `paper_source` cites them."""
    return {name: _table(name, content) for name, content in _content()["tables"].items()}


def paper_source() -> str:
    """Return where the figures come from and what their columns mean."""
    return str(_content()["source"])


def paper_table(name: str) -> PaperTable:
    """Return one table.

    Args:
        name: "table1" … "table7".

    Raises:
        VideoJamError: no such table.
    """
    if name not in paper_tables():
        raise VideoJamError(
            expected=f"one of {', '.join(paper_tables())}",
            found=repr(name),
            where="the paper's tables",
            fix="Correct the name.",
        )
    return paper_tables()[name]


def recomputed(table: str) -> dict[str, tuple[float, float]]:
    """Compute (Appearance, Motion) in per cent of every row from the table that breaks it down.

    Rows without a breakdown are left out (Table 1 has one: PyramidFlow).

    Args:
        table: "table1", "table2" or "table6".

    Raises:
        VideoJamError: a table without a breakdown.
    """
    headline = paper_table(table)
    if headline.breakdown_table is None:
        raise VideoJamError(
            expected="a table with a breakdown: table1, table2 or table6",
            found=table,
            where="the paper's tables",
            fix="Choose one of them.",
        )
    result = {}
    for method, row in paper_table(headline.breakdown_table).rows.items():
        assert row.breakdown is not None  # every row of a breakdown table has one
        raw = {name: value / 100 for name, value in row.breakdown.items()}
        result[method] = (100 * appearance(raw), 100 * motion(raw))
    return result


def rounding_bound(dimensions: tuple[Dimension, ...]) -> float:
    """Bound how far an aggregate computed from rounded dimensions is from the rounded aggregate, in per cent.

    Args:
        dimensions: `APPEARANCE` or `MOTION`.
    """
    slopes = (WEIGHTS[name] / (RANGES[name][1] - RANGES[name][0]) for name in dimensions)
    return HALF_DIGIT * (1 + sum(slopes) / sum(WEIGHTS[name] for name in dimensions))


def inconsistencies() -> list[Inconsistency]:
    """Find the figures that contradict each other beyond rounding: aggregates, then a method printed twice."""
    tables, found = paper_tables(), []
    for name in ("table1", "table2", "table6"):
        for method, computed in recomputed(name).items():
            row = tables[name].rows[method]
            for column, printed, other, dimensions in (
                ("appearance", row.appearance, computed[0], APPEARANCE),
                ("motion", row.motion, computed[1], MOTION),
            ):
                assert printed is not None  # headline tables print both
                # A tenth of a promille, for the binary fractions.
                if abs(printed - other) > rounding_bound(dimensions) + 1e-4:
                    why = f"computed from {tables[name].breakdown_table}"
                    found.append(Inconsistency(name, method, column, printed, other, why))
    for method, row in tables["table3"].rows.items():
        first = tables["table1"].rows.get(method)
        for column in ("appearance", "motion") if first else ():
            printed, other = getattr(first, column), getattr(row, column)
            if printed != other:
                found.append(Inconsistency("table1", method, column, printed, other, "printed in table3"))
    return found


@cache
def _content() -> dict:
    file = resources.files("videojam.evaluation") / "data" / "paper_tables.json"
    return json.loads(file.read_text(encoding="utf-8"))


def _table(name: str, content: dict) -> PaperTable:
    rows = {method: _row(method, row) for method, row in content["rows"].items()}
    return PaperTable(
        name, content["benchmark"], content.get("against"), content.get("breakdown_table"), rows
    )


def _row(method: str, row: dict) -> PaperRow:
    auto = row.get("auto") or (None, None)
    breakdown = dict(zip(DIMENSIONS, row["breakdown"], strict=True)) if "breakdown" in row else None
    human = tuple(row["human"]) if row.get("human") else None
    return PaperRow(method, human, auto[0], auto[1], breakdown)
