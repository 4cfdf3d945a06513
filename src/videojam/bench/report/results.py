"""The results of a bench as data: `results.json`, from which the page is drawn."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from videojam import provenance
from videojam.bench.folder import Bench
from videojam.bench.make.suites import MOVIE_GEN
from videojam.bench.manifest import Manifest
from videojam.bench.presets import ABLATIONS, FULL
from videojam.bench.report.collect import Problem, collect
from videojam.bench.report.human import HumanVotes, find_votes
from videojam.bench.report.probes import Probe, find_probes
from videojam.bench.report.statistics import Comparison, compare, mean_interval
from videojam.errors import VideoJamError
from videojam.evaluation.intervals import Interval
from videojam.evaluation.judge import Measure
from videojam.evaluation.paper import paper_source, paper_tables

FORMAT = 1
Table = dict[str, dict[str, Interval]]
"""Intervals by arm, then by measure's key."""


@dataclass(frozen=True)
class PaperLine:
    """What the paper prints of one method.

    Attributes:
        method: Its name there.
        table: Where, as "Table 1".
        benchmark: On which prompts.
        values: In per cent, by the column's name there (`Measure.paper`).
    """

    method: str
    table: str
    benchmark: str
    values: dict[str, float]


@dataclass
class Results:
    """Everything that the report shows.

    Attributes:
        suite: Name, version, sha256, number of prompts, note.
        num_seeds: Clips of each prompt.
        against: The arm that the others are compared with.
        manifests: What made each arm, in the order of the report.
        num_clips: Clips of each arm that are there and fit.
        measures: By key.
        notes: What the judges say of their figures, by judge.
        reasons: Why a value is what it is, where the judge says so; by arm, measure's key and clip.
        table: Means with intervals.
        categories: The same for each category of prompts.
        comparisons: By measure.
        paper: The paper's rows, where a measure is one of its columns.
        values: By arm, measure and clip: what every figure comes from.
        problems: Everything that a reader must know of single clips.
        probes: The finished probes that lie in the bench.
        human: Votes of people, of the studies that lie in the bench.
        made_at: Date.
        versions: Of the packages that scored.
    """

    suite: dict[str, Any]
    num_seeds: int
    against: str | None
    manifests: dict[str, Manifest]
    num_clips: dict[str, int]
    measures: dict[str, Measure]
    notes: dict[str, str]
    reasons: dict[str, dict[str, dict[str, list[str]]]]
    table: Table
    categories: dict[str, Table]
    comparisons: dict[str, list[Comparison]]
    paper: list[PaperLine]
    values: dict[str, dict[str, dict[str, float]]]
    problems: list[Problem]
    probes: list[Probe]
    human: list[HumanVotes]
    made_at: str = field(default_factory=lambda: datetime.date.today().isoformat())
    versions: dict[str, str] = field(default_factory=provenance.versions)

    @property
    def arms(self) -> list[str]:
        """Names of the arms, in the order of the report."""
        return list(self.manifests)

    def to_json(self) -> dict[str, Any]:
        """Return the results as plain data."""
        content = {name: value for name, value in vars(self).items() if name != "manifests"}
        plain = {
            "format": FORMAT,
            "arms": {name: manifest.model_dump(mode="json") for name, manifest in self.manifests.items()},
            **content,
            "measures": {key: measure.model_dump() for key, measure in self.measures.items()},
            "table": _plain_table(self.table),
            "categories": {name: _plain_table(table) for name, table in self.categories.items()},
            "comparisons": {key: [asdict(one) for one in found] for key, found in self.comparisons.items()},
            "paper": {"source": paper_source(), "rows": [asdict(line) for line in self.paper]},
            "problems": [asdict(problem) for problem in self.problems],
            "probes": [probe.to_json() for probe in self.probes],
            "human": [votes.model_dump(mode="json") for votes in self.human],
        }
        return plain


def build_results(bench: Bench, arms: Sequence[str] | None = None, against: str | None = None) -> Results:
    """Gather scores and compute every figure of the report.

    Args:
        bench: The bench.
        arms: Which, in the order of the report; all if not given.
        against: The arm that the others are compared with; the first if not given.

    Raises:
        VideoJamError: an arm that isn't there, or `against` that is none of the arms.
    """
    for name in (*(arms or ()), *([against] if against else [])):
        if name not in bench.arms:
            raise bench.unknown(name)
    if arms and against not in (None, *arms):
        raise VideoJamError(
            expected=f"--against as one of the arms of the report: {', '.join(arms)}",
            found=repr(against),
            where=str(bench.folder),
            fix=f"Add --arm {against}, or leave --against out.",
        )
    found = collect(bench, arms)
    probes, unfit = find_probes(bench)
    human, unfit_votes = find_votes(bench)
    names = list(found.manifests)
    against = against or (names[0] if names else None)
    suite = bench.file.suite
    facts = {**suite.model_dump(mode="json", exclude={"prompts"}), "sha256": suite.sha256}
    return Results(
        suite={**facts, "num_prompts": len(suite.prompts)},
        num_seeds=bench.file.num_seeds,
        against=against,
        manifests=found.manifests,
        num_clips=found.num_clips,
        measures=found.measures,
        notes=found.notes,
        reasons=found.reasons,
        table=_table(found.values, found.measures, None),
        categories={
            name: _table(found.values, found.measures, {p.id for p in suite.prompts if p.category == name})
            for name in suite.categories
        },
        comparisons={
            key: compare(
                {arm: found.values[arm].get(key, {}) for arm in names},
                against,
                names,
                is_share=measure.kind == "share",
            )
            for key, measure in found.measures.items()
        }
        if against
        else {},
        paper=_paper(list(found.measures.values()), tables_beside(suite.name, names)),
        values=found.values,
        problems=[*found.problems, *unfit, *unfit_votes],
        probes=probes,
        human=human,
    )


def _table(
    values: dict[str, dict[str, dict[str, float]]], measures: dict[str, Measure], prompts: set[str] | None
) -> Table:
    table: Table = {}
    for arm, row in values.items():
        table[arm] = {}
        for key, clips in row.items():
            mine = {c: v for c, v in clips.items() if prompts is None or c.rpartition("_s")[0] in prompts}
            interval = mean_interval(mine, measures[key].kind == "share")
            if interval is not None:
                table[arm][key] = interval
    return table


def _plain_table(table: Table) -> dict[str, dict[str, dict[str, float]]]:
    return {arm: {key: asdict(interval) for key, interval in row.items()} for arm, row in table.items()}


def tables_beside(suite: str, arms: Sequence[str]) -> list[str]:
    """Return the paper's tables that fit a suite: of its own prompts where it has them, and Table 3 for ablations."""
    if suite == MOVIE_GEN:
        return ["table6", "table7"]
    ablations = ["table3"] if set(arms) & (ABLATIONS.keys() - {FULL}) else []
    return ["table1", "table2", *ablations, "table4", "table5"]


def _paper(measures: list[Measure], tables: Sequence[str]) -> list[PaperLine]:
    """Return the paper's rows for the measures that are its own, each method once."""
    wanted = {m.paper for m in measures if m.paper}
    lines: dict[str, PaperLine] = {}
    for table in (paper_tables()[name] for name in tables):
        for method, row in table.rows.items():
            values: dict[str, float | None] = {"appearance": row.appearance, "motion": row.motion}
            values.update({str(name): value for name, value in (row.breakdown or {}).items()})
            known = {name: value for name, value in values.items() if name in wanted and value is not None}
            before = lines.get(method)
            if known:
                title = table.name.replace("table", "Table ") if before is None else before.table
                merged = {**known, **(before.values if before else {})}
                lines[method] = PaperLine(method, title, table.benchmark, merged)
    return list(lines.values())
