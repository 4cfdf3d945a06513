"""Plots of probes, several models on one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videojam.errors import VideoJamError
from videojam.evaluation.arm_colours import LIGHT
from videojam.evaluation.probes.record import load_probe
from videojam.files import write_file
from videojam.optional import from_extra

SUFFIXES = (".png", ".svg", ".pdf")
LOSSES = {
    "appearance": "appearance loss",
    "motion": "motion loss",
    "appearance_null_motion": "appearance loss, null motion",
}
MEASURES = {
    "appearance": "appearance",
    "motion": "motion",
    "flow": "flow",
    "predicted_flow": "predicted flow",
}
NAMED = {"permutation": "loss", "noising": "measure", "guidance": "condition"}
"""What each line of a probe's summary is of."""
PUSHES = {"text": "w* of guidance by text", "motion": "w* of guidance by motion"}
DPI = 150


def plot_probes(files: Sequence[str | Path], out: str | Path, labels: Sequence[str] | None = None) -> Path:
    """Draw results of one kind of probe, a colour for each model; bands are 95 % intervals over clips.

    Args:
        files: JSON files of one of `permutation_probe`, `noising_probe` and `guidance_probe`.
        out: PNG, SVG or PDF file.
        labels: Name of each; the model's source if not given.

    Raises:
        VideoJamError: files of different probes or unfinished ones, matplotlib is missing, or another suffix.
    """
    out = Path(out)
    if out.suffix.lower() not in SUFFIXES:
        raise VideoJamError(
            expected=f"a file ending in {', '.join(SUFFIXES)}", found=out.name, where="plot", fix="Rename it."
        )
    probes = [load_probe(file) for file in files]
    _check_alike(probes, files)
    names = list(labels or [probe["model"]["source"] for probe in probes])
    if len(names) != len(probes):
        raise VideoJamError(
            expected=f"{len(probes)} labels, one for each file",
            found=str(len(names)),
            where="labels",
            fix="Give one label for each file, in their order, or no label.",
        )
    figure = probe_figure(probes, names, [LIGHT[i % len(LIGHT)] for i in range(len(names))])

    def save(temporary: Path) -> None:
        figure.savefig(temporary, dpi=DPI, format=out.suffix[1:].lower())

    return write_file(out, save, "Choose another place for the plot.")


def probe_figure(probes: Sequence[dict[str, Any]], names: Sequence[str], colours: Sequence[str]) -> Any:
    """Draw finished results of one kind of probe as a matplotlib figure; see `plot_probes`.

    Args:
        probes: What their files hold.
        names: Of each model.
        colours: Of each model.

    Raises:
        VideoJamError: matplotlib is missing.
    """
    draw = {"permutation": _permutation, "noising": _noising, "guidance": _guidance}[probes[0]["probe"]]
    return draw(probes, names, colours)


def _check_alike(probes: list[dict[str, Any]], files: Sequence[str | Path]) -> None:
    for probe, file in zip(probes, files, strict=True):
        if probe["probe"] != probes[0]["probe"]:
            found, fix = f"one of {probe['probe']}", "Plot each kind of probe by itself."
        elif not probe["complete"]:
            found, fix = "an unfinished one", "Run the probe again: it goes on from there."
        elif not all(NAMED[probe["probe"]] in line for line in probe["summary"] or [{}]):
            found, fix = "one whose summary lacks lines or names", "Run the probe again with another --out."
        else:
            continue
        raise VideoJamError(
            expected=f"a finished {probes[0]['probe']} probe", found=found, where=str(file), fix=fix
        )


def _figure(num_columns: int) -> tuple[Any, Any]:
    with from_extra("matplotlib, to draw", "videojam[plots]", "plot"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(4.2 * num_columns, 3.6), layout="constrained")  # no global state of pyplot
    return figure, figure.subplots(1, num_columns, squeeze=False)[0]


def _permutation(probes: Sequence[dict[str, Any]], names: Sequence[str], colours: Sequence[str]) -> Any:
    """Losses of both orders, a panel for each kind of loss, and the paired gap of the appearance loss."""
    kinds = [kind for kind in LOSSES if any(line["loss"] == kind for p in probes for line in p["summary"])]
    figure, axes = _figure(len(kinds) + 1)
    for axis, kind in zip(axes, kinds, strict=False):
        for probe, name, colour in zip(probes, names, colours, strict=True):
            lines = [line for line in probe["summary"] if line["loss"] == kind]
            times = [line["t"] for line in lines]
            if lines:
                axis.plot(times, [line["ordered"] for line in lines], color=colour, label=name)
                axis.plot(times, [line["permuted"] for line in lines], "--", color=colour)
        _dress(axis, LOSSES[kind])
    axes[0].plot([], [], "k--", label="frames permuted")
    axes[0].legend(fontsize="small")
    for probe, name, colour in zip(probes, names, colours, strict=True):
        lines = [line for line in probe["summary"] if line["loss"] == "appearance"]
        _band(axes[-1], lines, "gap", colour, name)
        null = [line for line in probe["summary"] if line["loss"] == "appearance_null_motion"]
        axes[-1].plot([line["t"] for line in null], [line["gap"]["mean"] for line in null], ":", color=colour)
    axes[-1].axhline(0, color="grey", linewidth=0.8)
    if len(kinds) > 1:
        axes[-1].plot([], [], "k:", label="null motion")
        axes[-1].legend(fontsize="small")
    _dress(axes[-1], "appearance loss, permuted − ordered")
    figure.suptitle(f"Permutation probe, {_clips(probes)}")
    return figure


def _noising(probes: Sequence[dict[str, Any]], names: Sequence[str], colours: Sequence[str]) -> Any:
    """Agreement with the clip that was noised, a panel for each measure."""
    kinds = [
        kind for kind in MEASURES if any(line["measure"] == kind for p in probes for line in p["summary"])
    ]
    figure, axes = _figure(len(kinds))
    for axis, kind in zip(axes, kinds, strict=True):
        for probe, name, colour in zip(probes, names, colours, strict=True):
            lines = [line for line in probe["summary"] if line["measure"] == kind]
            _band(axis, lines, "agreement", colour, name)
        _dress(axis, f"agreement in {MEASURES[kind]}", xlabel="noised to t (0 noise, 1 the clip)")
    axes[0].legend(fontsize="small")
    figure.suptitle(f"Noising probe, {_clips(probes)}")
    return figure


def _guidance(probes: Sequence[dict[str, Any]], names: Sequence[str], colours: Sequence[str]) -> Any:
    """The best scale w*, a panel for each condition, with the ideal 0 and −0.5, below which the condition harms."""
    kinds = [
        kind for kind in PUSHES if any(line["condition"] == kind for p in probes for line in p["summary"])
    ]
    figure, axes = _figure(len(kinds))
    for axis, kind in zip(axes, kinds, strict=True):
        for probe, name, colour in zip(probes, names, colours, strict=True):
            lines = [line for line in probe["summary"] if line["condition"] == kind]
            lines = [line for line in lines if line["w_star"]["mean"] is not None]
            _band(axis, lines, "w_star", colour, name)
        axis.axhline(0, color="grey", linewidth=0.8)
        axis.axhline(-0.5, color="grey", linewidth=0.8, linestyle=":")
        _dress(axis, PUSHES[kind])
    axes[0].plot([], [], color="grey", linestyle=":", label="below: better without the condition")
    axes[0].legend(fontsize="small")
    figure.suptitle(f"Guidance probe, {_clips(probes)}")
    return figure


def _band(axis: Any, lines: list[dict[str, Any]], key: str, colour: str, label: str) -> None:
    """Draw means as a line and their intervals, where there are any, as a band."""
    if not lines:
        return
    times = [line["t"] for line in lines]
    axis.plot(times, [line[key]["mean"] for line in lines], ".-", color=colour, label=label)
    if all(line[key]["low"] is not None for line in lines):
        low, high = ([line[key][end] for line in lines] for end in ("low", "high"))
        axis.fill_between(times, low, high, color=colour, alpha=0.2, linewidth=0)


def _dress(axis: Any, title: str, xlabel: str = "t (0 noise, 1 data)") -> None:
    axis.set_title(title, fontsize="medium")
    axis.set_xlabel(xlabel)
    axis.grid(alpha=0.3)


def _clips(probes: Sequence[dict[str, Any]]) -> str:
    numbers = sorted({probe["num_clips"] for probe in probes})
    return f"{' or '.join(map(str, numbers))} clip{'s' if numbers != [1] else ''}"
