"""Stage 6: what the runs say, as JSON and as tables of the study's page. `python -m studies.premise.results`.

Reads `benchmarks/results/premise/RUN`, where each run keeps its config, curves and the judge's flags of each clip.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from studies.pages import with_block
from studies.premise.heldout import TIMES
from studies.premise.run import in_percent
from videojam.evaluation.intervals import bootstrap_mean, paired_difference
from videojam.files import write_text

FOLDER = Path("benchmarks/results/premise")
PAGE = Path("docs/study-premise.md")
RUNS = {
    "young": "young base, 6,000 steps, 3 seeds",
    "mature": "mature base, 6,000 steps, 1 seed",
    "long": "young base, 23,272 steps, 1 seed",
    "kinds": "all kinds, young base, 13,000 steps, 1 seed",
    "kinds-short": "all kinds, young base, 5,750 steps, 1 seed",
    "large-16-2": "16×16 pixels, 10.8 M, young base, 5,000 steps, 1 seed",
}
TEXTURES = {0.0: "texture-0.0", 0.25: "texture-0.25", 1.0: "young"}
"""Runs by the deviation of their static texture, in units: from where the premise fails to where it holds."""
LARGE = {"large": ("large-16", 1), "large-2": ("large-16-2", 2)}
"""Tables of curves at four times the pixels and nine times the parameters: run and seed. The first run's joint
verdicts were lost."""
DIM = "texture-0.25-dim"
"""At texture 0.25, motion's latents as bright as at texture 1."""
ARMS = ("control", "reweighted", "joint", "gain1", "gain3", "own")
"""In the order of the page."""
CHOICE, CONTRAST = 0, 1
"""Seeds of noise: scales are chosen on one, contrasts measured on the other."""
PRIMARY_NAME = "primary: joint w2=2 minus control, w1 = 0"
BEST_NAME = "each at its best"
AUTO_NAME = "best Inner-Guidance minus best autoguidance of the control"
PRIMARY = ("joint", "w2=2"), ("control", "plain")
SCALES = {
    "control": ("plain", "w1=1", "w1=3", "w1=5", "w1=8"),
    "reweighted": ("plain", "w1=1", "w1=3", "w1=5"),
    "reweighted, autoguidance": ("auto=1", "auto=2", "w1=1_auto=2", "w1=3_auto=1", "w1=3_auto=2"),
    "control, autoguidance": (
        "auto=1",
        "auto=2",
        "w1=1_auto=2",
        "w1=3_auto=1",
        "w1=3_auto=2",
        "w1=5_auto=2",
        "w1=8_auto=2",
    ),
    "joint, w2 = 0": ("plain", "w1=1", "w1=3"),
    "joint, Inner-Guidance": (
        "w2=1",
        "w2=2",
        "w2=4",
        "w1=1_w2=2",
        "w1=3_w2=2",
        "w1=3_w2=4",
        "w1=5_w2=2",
        "w1=5_w2=4",
        "w1=8_w2=2",
        "w1=8_w2=4",
    ),
}
OTHER_NOISE = " °"
"""Mark of a number measured on the noise on which scales were chosen, in a run that has another for contrasts."""
Values = NDArray[np.float64]


def coherent(run: str, arm: str, rule: str, noise: int) -> Values | None:
    """Return the share of seeds in which each clip is coherent, `[512]`; None where it was not sampled."""
    rows = [flags[f"{rule}/coherent"] for flags in _flags(run, arm, noise) if f"{rule}/coherent" in flags]
    return np.stack(rows).astype(np.float64).mean(0) if rows else None


@cache
def _flags(run: str, arm: str, noise: int) -> list[dict[str, NDArray[Any]]]:
    """Return the judge's flags of an arm, a table for each seed."""
    return [load_file(file) for file in sorted((FOLDER / run).glob(f"{arm}*.n{noise}.flags.safetensors"))]


def best(run: str, group: str, noise: int) -> str | None:
    """Return the scale of a group that is most often coherent, of equals the first; None where it was not sampled."""
    arm = group.split(",")[0]
    found = {rule: coherent(run, arm, rule, noise) for rule in SCALES[group]}
    means = {rule: float(values.mean()) for rule, values in found.items() if values is not None}
    return max(means, key=means.__getitem__) if means else None


def measured_on(run: str, *arms: tuple[str, str]) -> int | None:
    """Return the noise on which arms and their rules are measured: that of contrasts, if all were sampled on it."""
    for noise in (CONTRAST, CHOICE):
        if all(coherent(run, arm, rule, noise) is not None for arm, rule in arms):
            return noise
    return None


def summary(run: str) -> dict[str, object]:
    """Return shares and contrasts of one run, each with the noise that it was measured on."""
    sampled = [noise for noise in (CHOICE, CONTRAST) if coherent(run, *PRIMARY[0], noise) is not None]
    found = {group: best(run, group, sampled[0]) for group in SCALES}
    chosen = {group: rule for group, rule in found.items() if rule is not None}
    shares = {"base": ("base", "plain")} | {
        f"{arm} {rule}": (arm, rule) for arm in ARMS for rule in _rules(run, arm)
    }
    table = {}
    for name, (arm, rule) in shares.items():
        noise = measured_on(run, (arm, rule))
        values = None if noise is None else coherent(run, arm, rule, noise)
        if values is not None:
            table[name] = {"noise": noise} | in_percent(bootstrap_mean(values))
    arms = {group: (group.split(",")[0], rule) for group, rule in chosen.items()}
    pairs = {
        PRIMARY_NAME: PRIMARY,
        "joint w2=0 minus control, w1 = 0": (("joint", "plain"), ("control", "plain")),
        "at w1 = 3: joint w2=2 minus control": (("joint", "w1=3_w2=2"), ("control", "w1=3")),
        BEST_NAME: (arms["joint, Inner-Guidance"], arms["control"]),
        AUTO_NAME: (
            arms["joint, Inner-Guidance"],
            arms["control, autoguidance"],
        ),
    }
    if "reweighted" in chosen:
        pairs |= {
            "best Inner-Guidance minus best of the reweighted control": (
                arms["joint, Inner-Guidance"],
                arms["reweighted"],
            ),
            "best Inner-Guidance minus best autoguidance of the reweighted control": (
                arms["joint, Inner-Guidance"],
                arms["reweighted, autoguidance"],
            ),
        }
    pairs |= {
        "gain 1 minus gain 0.4, w1 = 0, w2 = 2": (("gain1", "w2=2"), PRIMARY[0]),
        "gain 3 minus gain 0.4, w1 = 0, w2 = 2": (("gain3", "w2=2"), PRIMARY[0]),
        "motion's own noise level minus the same one, w1 = 0, w2 = 2": (("own", "w2=2"), PRIMARY[0]),
    }
    contrasts = {}
    for name, (first, second) in pairs.items():
        noise = measured_on(run, first, second)
        if noise is None:
            continue
        one, other = coherent(run, *first, noise), coherent(run, *second, noise)
        if one is not None and other is not None:
            words = {"arms": [" ".join(first), " ".join(second)], "noise": noise}
            contrasts[name] = words | in_percent(paired_difference(one, other))
    main = sampled[-1]  # a run of one noise has its scales chosen on that of its contrasts
    return {"noise": main, "chosen": chosen, "coherent": table, "contrasts": contrasts}


def _rules(run: str, arm: str) -> list[str]:
    """Return the rules under which an arm was sampled, on either noise."""
    keys = [key for noise in (CONTRAST, CHOICE) for flags in _flags(run, arm, noise)[:1] for key in flags]
    names = [key.removesuffix("/coherent") for key in keys if key.endswith("/coherent")]
    return list(dict.fromkeys(names))


def curve(run: str, arm: str, seed: int = 1) -> list[dict[str, float]]:
    """Return coherence against steps, of 1 seed: plain, and of a joint arm with w2 = 2."""
    file = next((FOLDER / run).glob(f"{arm}.*.s{seed}.curve.jsonl"))
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [
        {"step": row["step"]} | {k: round(100 * row[k]["coherent"], 1) for k in ("plain", "w2=2") if k in row}
        for row in rows
    ]


def curves_table(run: str, seed: int = 1) -> str:
    """Return coherence against steps of a control and of VideoJAM, in Markdown."""
    lines = ["| steps | control, w1 = 0 | VideoJAM, w2 = 0 | VideoJAM, w2 = 2 |", "|---|---|---|---|"]
    for plain, joint in zip(curve(run, "control", seed), curve(run, "joint", seed), strict=True):
        lines.append(f"| {plain['step']:,} | {plain['plain']} | {joint['plain']} | {joint['w2=2']} |")
    return "\n".join(lines)


def texture_table(results: dict[str, dict]) -> str:
    """Return what the premise is and what VideoJAM gains at each texture, in Markdown."""
    lines = [
        "| texture, units | loss on permuted frames, t = 0.2 / 0.3 / 0.5 | static share of the loss, same t "
        "| control | VideoJAM, w2 = 2 | primary contrast | each at its best | best minus best autoguidance |",
        "|---" * 8 + "|",
    ]
    rows = [(f"{texture:g}", run) for texture, run in TEXTURES.items()]
    for texture, run in [*rows, ("0.25, dim motion", DIM)]:
        row = last_row(run, "base")
        permuted, static = (
            " / ".join(f"{row[key][TIMES.index(t)]:{form}}" for t in (0.2, 0.3, 0.5))
            for key, form in (("permuted", ".2f"), ("static_share", ".0%"))
        )
        shares, contrasts = results[run]["coherent"], results[run]["contrasts"]
        cells = [_cell(shares["control plain"]), _cell(shares["joint w2=2"])]
        cells += [_cell(contrasts[name], "+") for name in (PRIMARY_NAME, BEST_NAME, AUTO_NAME)]
        lines.append(f"| {texture} | {permuted} | {static} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


FOLLOWED = {
    "long": ("plain", "w2=2", "w1=3_w2=2"),
    "kinds": ("plain", "w2=2", "w1=3_w2=2", "oracle"),
    "large-16-2": ("plain", "w2=2", "w1=3_w2=2", "w1=8_w2=4", "oracle"),
}
"""Runs and rules of which the page says whether the picture follows the motion half."""


def followed_table() -> str:
    """Return how often VideoJAM's motion half is lawful, and how often its picture is then too, in Markdown."""
    lines = [
        "| run | VideoJAM sampled with | motion half lawful, % | picture coherent, % "
        "| picture coherent where the motion is lawful, % |",
        "|---" * 5 + "|",
    ]
    for run, rules in FOLLOWED.items():
        (flags,) = _flags(run, "joint", CONTRAST)
        for rule in rules:
            lawful, seen = flags[f"{rule}/motion_lawful"], flags[f"{rule}/coherent"]
            shares = (lawful.mean(), seen.mean(), seen[lawful].mean())
            lines.append(f"| {run} | {rule} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")
    return "\n".join(lines)


FAINT = "large-16-2"
"""The run of which some clips were judged again, however faint their mover is."""


def faint_table() -> str:
    """Return the shares of coherent clips beside those with a fainter mover allowed, in Markdown; `faint.json`."""
    file = FOLDER / FAINT / "faint.json"
    lines: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    rows = ["| clips | number | coherent | the same, however faint the mover |", "|---" * 4 + "|"]
    for line in lines:
        cells = [line["clips"], str(line["num_clips"]), _cell(line["coherent"]), _cell(line["however_faint"])]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def last_row(run: str, arm: str) -> dict[str, list[float]]:
    """Return the last measurement of a run's base or arm."""
    file = FOLDER / run / f"{arm}.curve.jsonl"
    row: dict[str, list[float]] = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])
    return row


def short_table(results: dict[str, dict]) -> str:
    """Return a line for each run: how VideoJAM compares with its control at equal and at best scales, in Markdown."""
    lines = [
        "| run | control | VideoJAM, w2 = 2 | difference, w1 = 0 | each at its best scale "
        "| best minus the control's best autoguidance |",
        "|---" * 6 + "|",
    ]
    for run, what in RUNS.items():
        shares, contrasts, noise = (results[run][key] for key in ("coherent", "contrasts", "noise"))
        cells = [f"{shares[arm]['mean']:.0f} %" for arm in ("control plain", "joint w2=2")]
        cells += [_cell(contrasts[name], "+", noise) for name in (PRIMARY_NAME, BEST_NAME, AUTO_NAME)]
        lines.append(f"| `{run}`: {what} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page_tables(results: dict[str, dict]) -> dict[str, str]:
    """Return the page's generated blocks by name, in Markdown."""
    main = {run: results[run] for run in RUNS}
    names = dict.fromkeys(name for run in main.values() for name in run["coherent"])
    shares = ["| % coherent (95 %) | " + " | ".join(RUNS.values()) + " |"]
    shares.append("|---" * (len(main) + 1) + "|")
    for name in sorted(names, key=lambda name: ("base", *ARMS).index(name.split()[0])):
        cells = [_cell(run["coherent"].get(name), noise=run["noise"]) for run in main.values()]
        shares.append(f"| {name} | " + " | ".join(cells) + " |")
    contrasts = ["| contrast, points (95 %) | run | arms | difference |", "|---|---|---|---|"]
    for run, result in main.items():
        for name, row in result["contrasts"].items():
            arms = f"{row['arms'][0]} − {row['arms'][1]}"
            contrasts.append(f"| {name} | {run} | {arms} | {_cell(row, '+', result['noise'])} |")
    return {
        "short": short_table(results),
        "coherent": "\n".join(shares),
        "contrasts": "\n".join(contrasts),
        "curves": curves_table("long"),
        **{name: curves_table(run, seed) for name, (run, seed) in LARGE.items()},
        "followed": followed_table(),
        "faint": faint_table(),
        "texture": texture_table(results),
        "noising": noising_table("long"),
    }


PROBED = {
    ("base", "plain"): "base",
    ("control.base.s1", "plain"): "control",
    ("joint.base.s1", "plain"): "VideoJAM, w2 = 0",
    ("joint.base.s1", "w2=2"): "VideoJAM, w2 = 2",
}
"""Models and rules of the noising probe, with their names on the page."""


def noised(run: str) -> list[dict[str, Any]]:
    """Return the lines of a run's noising probe; none where it was not measured."""
    file = FOLDER / run / "noising.json"
    lines: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return lines


def noising_table(run: str) -> str:
    """Return how many finished clips have the true clip's motion, by the time to which it was noised, in Markdown."""
    lines = noised(run)
    times = sorted({line["t"] for line in lines})
    rows = ["| finished by | " + " | ".join(f"from t = {t:g}" for t in times) + " |"]
    rows.append("|---" * (len(times) + 1) + "|")
    for (model, rule), name in PROBED.items():
        found = {line["t"]: line for line in lines if (line["model"], line["rule"]) == (model, rule)}
        cells = [_cell(found[t]["same_path"]) if t in found else "–" for t in times]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(row: dict[str, float] | None, sign: str = "", noise: int | None = None) -> str:
    """Write a number with its interval, marked where it was measured on another noise than its run's."""
    if row is None:
        return "–"
    mark = "" if noise in (None, row.get("noise")) else OTHER_NOISE
    return f"{row['mean']:{sign}.1f} ({row['low']:{sign}.1f} to {row['high']:{sign}.1f}){mark}"


def all_runs() -> tuple[str, ...]:
    """Return the names of the runs, each once."""
    return tuple(dict.fromkeys([*RUNS, *TEXTURES.values(), DIM]))


def kept_results() -> dict[str, dict]:
    """Return what `main` wrote."""
    results: dict[str, dict] = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    return results


def main() -> None:
    """Write results.json and the page's tables."""
    results = {run: summary(run) for run in all_runs()}
    write_text(FOLDER / "results.json", json.dumps(results, indent=1) + "\n")
    for name, content in page_tables(results).items():
        write_text(PAGE, with_block(PAGE, name, content.splitlines()))


if __name__ == "__main__":
    main()
