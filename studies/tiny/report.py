"""Write the measured tables of benchmarks/results/tiny.json into docs/evaluation.md.

python -m studies.tiny.report [--check]    (--check: exit 1 if the page does not hold what the file says)
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from studies.pages import per_cent, signed, with_block
from videojam.files import write_text
from videojam.world import KINDS

RESULTS = Path("benchmarks/results/tiny.json")
PAGE = Path("docs/evaluation.md")
LABELS = {
    "base": "base, CFG",
    "control": "control (plain fine-tune), CFG",
    "videojam w2=0": "VideoJAM, CFG (w2 = 0)",
    "videojam": "VideoJAM, Inner-Guidance",
}


def arms_table(result: dict[str, Any]) -> list[str]:
    arms = result["arms"]
    num_clips = next(iter(arms.values()))["all"]["coherent"]["n"]
    lines = [
        f"| % of {num_clips} clips (95 % interval) | coherent | {' | '.join(KINDS)} | follows its prompt "
        "| broken laws a clip |",
        f"|---|---|{'---|' * len(KINDS)}---|---|",
    ]
    for arm, table in arms.items():
        kinds = " | ".join(f"{100 * table[kind]['coherent']['mean']:.0f}" for kind in KINDS)
        broken = table["broken_laws"]
        laws = f"{broken['mean']:.2f} ({broken['low']:.2f}–{broken['high']:.2f})"
        row = (per_cent(table["all"]["coherent"]), kinds, per_cent(table["all"]["follows_prompt"]), laws)
        lines.append(f"| {LABELS[arm]} | {' | '.join(row)} |")
    return lines


def differences(result: dict[str, Any]) -> list[str]:
    return [
        f"- {name}: {signed(value)} points, n = {value['n']}; "
        f"{signed(result['broken_laws_differences'][name], 1, 2)} broken laws a clip"
        for name, value in result["differences"].items()
    ]


def autoencoder_table(result: dict[str, Any]) -> list[str]:
    lines = [
        "| through the autoencoder | coherent, % (95 % interval) | flow error on moving parts, px | their speed, px |",
        "|---|---|---|---|",
    ]
    for kind, row in result["autoencoder"].items():
        lines.append(
            f"| {kind} | {per_cent(row['coherent'])} | {row['flow_error_px']:.2f} | {row['flow_px']:.2f} |"
        )
    return lines


def motion_table(result: dict[str, Any]) -> list[str]:
    lines = [
        "| t | appearance loss, true d | difference with null d | difference with another clip's d |",
        "|---|---|---|---|",
    ]
    for t, row in result["motion_used"].items():
        more = " | ".join(signed(row[f"{name} minus true"], 1, 4) for name in ("null", "other"))
        lines.append(f"| {t} | {row['true']:.4f} | {more} |")
    return lines


def section(result: dict[str, Any]) -> list[str]:
    predicted = [
        f"- {LABELS[arm]}: warp error {row['error with predicted flow']:.2f} of 255 with the predicted flow, "
        f"{row['error with zero flow']:.2f} with zero flow; zero minus predicted "
        f"{signed(row['zero minus predicted'], 1, 2)}, n = {row['zero minus predicted']['n']}"
        for arm, row in result["predicted_motion"].items()
    ]
    return [
        *arms_table(result), "",
        "Paired differences in coherent clips and in broken laws (bootstrap over prompts):", "",
        *differences(result), "", *autoencoder_table(result), "", *motion_table(result), "",
        "The predicted motion against the clip that it came with:", "", *predicted, "",
        f"Measured {result['date']} by `python -m studies.tiny.measure` "
        "([figures](../benchmarks/results/tiny.json), each clip beside it).",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    text = with_block(PAGE, "results", section(json.loads(RESULTS.read_text())))
    if args.check and text != PAGE.read_text():
        raise SystemExit(f"{PAGE} does not hold what {RESULTS} says: run python -m studies.tiny.report")
    write_text(PAGE, text)


if __name__ == "__main__":
    main()
