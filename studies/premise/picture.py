"""Coherence against training steps, of the long run. `python -m studies.premise.picture`.

Reads the curves in `benchmarks/results/premise` and draws `docs/study-premise.png`.
"""

from __future__ import annotations

from pathlib import Path

from studies.premise.results import curve
from videojam.bench.report.colours import LIGHT
from videojam.files import write_file

CURVES = Path("docs/study-premise.png")
VIDEOJAM, CONTROL = LIGHT[2], LIGHT[1]


def main() -> None:
    """Draw the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plain, joint = curve("long", "control"), curve("long", "joint")
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for rows, key, label, colour, style in (
        (joint, "w2=2", "VideoJAM, Inner-Guidance (w2 = 2)", VIDEOJAM, "-"),
        (joint, "plain", "VideoJAM, w2 = 0", VIDEOJAM, "--"),
        (plain, "plain", "control: plain fine-tune", CONTROL, "-"),
    ):
        axis.plot([row["step"] for row in rows], [row[key] for row in rows], style, color=colour, label=label)
    axis.set(xlabel="training steps from the same base", ylabel="coherent clips, %", ylim=(0, 100))
    axis.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    write_file(CURVES, lambda unfinished: figure.savefig(unfinished, format="png", dpi=130))


if __name__ == "__main__":
    main()
