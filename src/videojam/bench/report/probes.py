"""The probes of a bench: files of `videojam probe` in its folder `probes`, on one plot for each kind."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

from videojam.bench.folder import Bench
from videojam.bench.report.collect import Problem
from videojam.errors import VideoJamError
from videojam.evaluation.arm_colours import colours_of
from videojam.evaluation.probes.plot import probe_figure
from videojam.evaluation.probes.record import load_probe

TITLES = {
    "permutation": "Is the order of frames noticed? (the paper's Fig. 3)",
    "noising": "When is motion fixed? (the paper's Fig. 8)",
    "guidance": "Does guidance point towards the data?",
}
NOTES = {
    "permutation": "Loss on clips and on the same clips with their frames permuted, at each t. A gap of zero means "
    "that the model does as well on frames in no order: its objective does not notice motion.",
    "noising": "Clips are noised to t and denoised from there. Agreement with the clip says what was already fixed at "
    "that t, of appearance and of motion.",
    "guidance": "The scale w* of guidance that would lower the held-out error most, at each t. An ideal model has 0; "
    "below 0 guidance goes away from the data, and below -0.5 the prediction without the condition is the better one.",
}


@dataclass(frozen=True)
class Probe:
    """A finished probe of one model.

    Attributes:
        name: Of the model, from the file's name.
        content: What it holds.
    """

    name: str
    content: dict[str, Any]

    @property
    def kind(self) -> str:
        """`permutation`, `noising` or `guidance`."""
        return self.content["probe"]

    @property
    def clips(self) -> list[str]:
        """Which clips were measured."""
        return [row["key"] for row in self.content["clips"]]

    def to_json(self) -> dict[str, Any]:
        """Return all but the single clips."""
        return {"name": self.name} | {key: value for key, value in self.content.items() if key != "clips"}


def find_probes(bench: Bench) -> tuple[list[Probe], list[Problem]]:
    """Return the finished probes in `probes/*.json`, and what is there besides."""
    probes, problems = [], []
    for path in sorted((bench.folder / "probes").glob("*.json")):
        try:
            content = load_probe(path)
        except VideoJamError as error:
            problems.append(Problem("probes", path.name, f"{error.found}, not the file of a probe", True))
            continue
        if content["complete"]:
            probes.append(Probe(path.stem.removeprefix(f"{content['probe']}-"), content))
        else:
            problems.append(Problem("probes", path.name, "unfinished; run it again to complete it", True))
    begun = sorted((bench.folder / "probes").glob("*.unfinished.jsonl"))
    problems += [Problem("probes", p.name, "unfinished; run it again to complete it", True) for p in begun]
    return probes, problems


def probe_section(probes: Sequence[Probe], arms: Sequence[str]) -> str:
    """Return the probes' section of the page, a plot for each kind; empty without probes.

    A probe with the name of an arm has that arm's colour.
    """
    plots = [
        _plot([probe for probe in probes if probe.kind == kind], arms)
        for kind in TITLES
        if any(probe.kind == kind for probe in probes)
    ]
    if not plots:
        return ""
    return (
        '<section aria-labelledby="probes">\n  <h2 id="probes">Probes</h2>\n'
        + "\n".join(plots)
        + "\n</section>"
    )


def _plot(probes: list[Probe], arms: Sequence[str]) -> str:
    kind, names = probes[0].kind, [probe.name for probe in probes]
    try:
        figure = probe_figure([probe.content for probe in probes], names, colours_of(names, arms))
    except VideoJamError as error:  # matplotlib is optional
        return f'<h3>{TITLES[kind]}</h3><p class="note">Not drawn: {escape(error.found)}. {escape(error.fix)}</p>'
    svg = StringIO()
    figure.savefig(svg, format="svg")
    data = b64encode(svg.getvalue().encode()).decode()
    alike = all(probe.clips == probes[0].clips for probe in probes)
    caution = "" if alike else " <b>These models were not probed on the same clips.</b>"
    words = escape(f"{kind} probe of {', '.join(names)}")
    return (
        f'  <h3>{TITLES[kind]}</h3>\n  <div class="scroll"><img class="probe" alt="{words}" '
        f'src="data:image/svg+xml;base64,{data}"></div>\n'
        f'  <p class="note">{NOTES[kind]} Bands are 95 % intervals over clips.{caution}</p>'
    )
