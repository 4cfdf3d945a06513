"""The page's pictures. `python -m studies.premise.picture`.

Reads curves and flags in `benchmarks/results/premise` and draws `docs/study-premise*.png`: coherence against
training steps, the advantage against the texture, coherence against the cost of a sampling step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studies.premise.arms_sampled import JOINT_RULES, PLAIN_RULES
from studies.premise.heldout import TIMES
from studies.premise.results import (
    AUTO_NAME,
    BEST_NAME,
    PRIMARY_NAME,
    PROBED,
    RUNS,
    TEXTURES,
    curve,
    kept_results,
    last_row,
    noised,
)
from videojam.evaluation.arm_colours import LIGHT
from videojam.files import write_file

DOCS = Path("docs")
VIDEOJAM, CONTROL, OTHER = LIGHT[2], LIGHT[1], LIGHT[3]


def main() -> None:
    """Draw the pictures."""
    import matplotlib as mpl

    mpl.use("Agg")
    results = kept_results()
    _save(_curves(), "study-premise.png")
    _save(_texture(results), "study-premise-texture.png")
    _save(_cost(results), "study-premise-cost.png")
    _save(_probes("long"), "study-premise-probes.png")


def _curves() -> Any:
    figure, axis = _axes()
    plain, joint = curve("long", "control"), curve("long", "joint")
    for rows, key, label, colour, style in (
        (joint, "w2=2", "VideoJAM, Inner-Guidance (w2 = 2)", VIDEOJAM, "-"),
        (joint, "plain", "VideoJAM, w2 = 0", VIDEOJAM, "--"),
        (plain, "plain", "control: plain fine-tune", CONTROL, "-"),
    ):
        axis.plot([row["step"] for row in rows], [row[key] for row in rows], style, color=colour, label=label)
    axis.set(xlabel="training steps from the same base", ylabel="coherent clips, %", ylim=(0, 100))
    axis.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    axis.legend(frameon=False)
    return figure


def _texture(results: dict[str, dict]) -> Any:
    """Contrasts with their intervals against the deviation of the static texture."""
    figure, axis = _axes()
    for shift, (contrast, label, colour) in enumerate(
        (
            (PRIMARY_NAME, "w1 = 0 in both: w2 = 2 minus control", VIDEOJAM),
            (BEST_NAME, "each at its best scale", OTHER),
            (AUTO_NAME, "best minus the control's best autoguidance", CONTROL),
        )
    ):
        rows = [results[run]["contrasts"][contrast] for run in TEXTURES.values()]
        places = [texture + 0.012 * (shift - 1) for texture in TEXTURES]
        means = [row["mean"] for row in rows]
        errors = [[row["mean"] - row["low"] for row in rows], [row["high"] - row["mean"] for row in rows]]
        axis.errorbar(places, means, errors, marker="o", capsize=3, color=colour, label=label)
    axis.axhline(0, color="0.6", linewidth=0.8)
    axis.set(
        xlabel="deviation of the static texture (premise fails at 0, holds at 1)",
        ylabel="VideoJAM minus control, points",
    )
    axis.legend(frameon=False)
    return figure


def _cost(results: dict[str, dict]) -> Any:
    """Every sampling rule of each run: forwards a step against coherence."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(RUNS) // 2, figsize=(10, 6.4), sharey=True, layout="constrained")
    for axis, (run, title) in zip(axes.flat, RUNS.items(), strict=True):
        for arm, rules, colour in (("control", PLAIN_RULES, CONTROL), ("joint", JOINT_RULES, VIDEOJAM)):
            shares = results[run]["coherent"]
            points = [
                (rule.num_forwards, shares[f"{arm} {rule.name}"]["mean"])
                for rule in rules
                if f"{arm} {rule.name}" in shares and not rule.oracle
            ]
            label = "VideoJAM" if arm == "joint" else arm
            axis.plot(*zip(*points, strict=True), "o", color=colour, alpha=0.45, markersize=4)
            axis.step(*zip(*_front(points), strict=True), where="post", color=colour, label=label)
        axis.set(title=title.replace("base, ", "base\n"), ylim=(0, 100))
        axis.title.set_fontsize(9)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("forwards a sampling step", fontsize=10)
    figure.supylabel("coherent clips, %", fontsize=10)
    axes[0, 0].legend(frameon=False)
    return figure


def _probes(run: str) -> Any:
    """Both probes of one run: the loss on permuted frames (Fig. 3), and what comes back of a noised clip (Fig. 8)."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for arm, name, colour in (
        ("base", "base", OTHER),
        ("control.base.s1", "control", CONTROL),
        ("joint.base.s1", "VideoJAM", VIDEOJAM),
    ):
        left.plot(TIMES, last_row(run, arm)["permuted"], ".-", color=colour, label=name)
    left.set(xlabel="t (0 noise, 1 data)", ylabel="appearance loss, permuted / ordered", title="Fig. 3")
    styles = {"base": (OTHER, "-"), "control": (CONTROL, "-")}
    for (model, rule), name in PROBED.items():
        lines = [line for line in noised(run) if (line["model"], line["rule"]) == (model, rule)]
        colour, style = styles.get(name, (VIDEOJAM, "-" if rule == "plain" else "--"))
        times = [line["t"] for line in lines]
        means, low, high = ([line["same_path"][end] for line in lines] for end in ("mean", "low", "high"))
        right.plot(times, means, ".", linestyle=style, color=colour, label=name)
        right.fill_between(times, low, high, color=colour, alpha=0.15, linewidth=0)
    right.set(
        xlabel="noised to t (0 noise, 1 the clip)", ylabel="clips with the true motion, %", title="Fig. 8"
    )
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    return figure


def _front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no cheaper point beats, from the cheapest on (Pareto front), to the full width."""
    front: list[tuple[float, float]] = []
    for cost, share in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or share > front[-1][1]:
            front.append((cost, share))
    return [*front, (max(cost for cost, _ in points), front[-1][1])]


def _axes() -> tuple[Any, Any]:
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _save(figure: Any, name: str) -> None:
    write_file(DOCS / name, lambda unfinished: figure.savefig(unfinished, format="png", dpi=130))


if __name__ == "__main__":
    main()
