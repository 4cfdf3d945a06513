"""The tables of the study's figures, as docs/when-the-premise-fails.md and docs/study-tables.md show them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studies.controlled.figures import ARMS, FOLLOWED, MEASURES, MUST_NOT_FALL
from studies.pages import per_cent, signed
from videojam.world import KINDS

SUMMARY, TABLES = Path("docs/when-the-premise-fails.md"), Path("docs/study-tables.md")


def difference(found: dict[str, Any], measure: str) -> str:
    """A difference of a measure as its tables show it."""
    return signed(found, *MEASURES.get(measure, (1, 4)))


def arms_table(report: dict[str, Any], arms: Sequence[str] = tuple(ARMS)) -> list[str]:
    control = report["arms"]["control"]["coherent"]
    lines = [
        f"| % of {control['n']} clips, {len(control['seeds'])} seeds (95 %) "
        f"| coherent | each seed | {' | '.join(KINDS)} | follows its prompt "
        "| broken laws a clip | … where it follows |",
        f"|---|---|---|{'---|' * len(KINDS)}---|---|---|",
    ]
    for arm in (arm for arm in arms if arm in report["arms"]):
        row = report["arms"][arm]
        seeds = ", ".join(f"{100 * mean:.0f}" for mean in row["coherent"]["seeds"])
        kinds = " | ".join(f"{100 * row['kinds'][kind]:.0f}" for kind in KINDS)
        laws = row["broken_laws"]
        cells = [
            ARMS[arm], per_cent(row["coherent"]), seeds, kinds, per_cent(row["follows_prompt"]),
            f"{laws['mean']:.2f} ({laws['low']:.2f}–{laws['high']:.2f})", f"{row[FOLLOWED]['mean']:.2f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def contrast_table(report: dict[str, Any], measure: str, title: str) -> list[str]:
    lines = [f"| {title} | mean of seeds (95 %) | each seed | agree in sign |", "|---|---|---|---|"]
    scale, digits = MEASURES.get(measure, (1, 4))
    for name, found in report["contrasts"][measure].items():
        seeds = ", ".join(f"{scale * seed['mean']:+.{digits}f}" for seed in found["seeds"])
        agree = "yes" if found["agree_in_sign"] else "no"
        lines.append(f"| {name} | {difference(found['pooled'], measure)} | {seeds} | {agree} |")
    return lines


def appearance_table(report: dict[str, Any]) -> list[str]:
    lines = ["| videojam − control | mean of seeds (95 %) | agree in sign |", "|---|---|---|"]
    for measure in MUST_NOT_FALL:
        found = report["contrasts"][measure]["videojam − control"]
        agree = "yes" if found["agree_in_sign"] else "no"
        lines.append(f"| `{measure}` | {difference(found['pooled'], measure)} | {agree} |")
    return lines


def cost_table(report: dict[str, Any]) -> list[str]:
    lines = [
        "| seed 0 | forwards a step | coherent, % | difference from exact, points | broken laws "
        "| difference from exact |",
        "|---|---|---|---|---|---|",
    ]
    for arm, row in sorted(report["cost"].items(), key=lambda item: item[1]["forwards"]):
        lines.append(
            f"| {arm} | {row['forwards']:g} | {per_cent(row['coherent'])} "
            f"| {difference(row['coherent minus exact'], 'coherent')} "
            f"| {row['broken_laws']['mean']:.2f} | {difference(row['broken_laws minus exact'], 'broken_laws')} |"
        )
    return lines


def changes_table(report: dict[str, Any]) -> list[str]:
    lines = [
        "| seed 0, one change | coherent, % | difference from control, points | follows its prompt, % "
        "| broken laws | difference from unchanged | difference from control |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, row in report["changes"].items():
        lines.append(
            f"| {arm} | {per_cent(row['coherent'])} | {difference(row['coherent minus control'], 'coherent')} "
            f"| {per_cent(row['follows_prompt'])} | {row['broken_laws']['mean']:.2f} "
            f"| {difference(row['broken_laws minus unchanged'], 'broken_laws')} "
            f"| {difference(row['broken_laws minus control'], 'broken_laws')} |"
        )
    return lines


def direction_table(report: dict[str, Any]) -> list[str]:
    models = report["direction"]
    times = list(next(iter(models.values())))
    lines = [f"| w\\* of | {' | '.join(f't = {t}' for t in times)} |", f"|---|{'---|' * len(times)}"]
    for name in ("text", "motion"):
        for model, by_t in models.items():
            cells = (f"{by_t[t][name]['mean']:+.2f}" for t in times)
            lines.append(f"| {name}, {model} | {' | '.join(cells)} |")
    return lines


def worlds_table(report: dict[str, Any]) -> list[str]:
    found = report["worlds"]
    kinds = [f"{kind} {100 * share['mean']:.0f}" for kind, share in found["coherent"].items()]
    shares = found["static_share"]
    return [
        f"True clips through the autoencoder, coherent, %: {', '.join(kinds)}.",
        "",
        f"| % of the base's loss where nothing moves | {' | '.join(f't = {t}' for t in shares)} |",
        f"|---|{'---|' * len(shares)}",
        f"| {100 * found['static_places']:.0f} % of the places | {' | '.join(map(per_cent, shares.values()))} |",
    ]


def tables(report: dict[str, Any]) -> dict[str, list[str]]:
    """Every table of one point, by its name in docs/study-tables.md."""
    found = {
        "arms": arms_table(report),
        "coherent": contrast_table(report, "coherent", "coherent clips, points"),
        "broken-laws": contrast_table(report, "broken_laws", "broken laws a clip"),
        "broken-laws-followed": contrast_table(report, FOLLOWED, "broken laws, where both follow the prompt"),
        "appearance": appearance_table(report),
    }
    more = {
        "cost": cost_table,
        "changes": changes_table,
        "direction": direction_table,
        "worlds": worlds_table,
    }
    return found | {name: table(report) for name, table in more.items() if report.get(name)}


def blocks(report: dict[str, Any], point: str) -> list[tuple[Path, str, list[str]]]:
    """Each page, name of its block and lines that one point's figures fill."""
    every = [(TABLES, f"study-{point}-{name}", lines) for name, lines in tables(report).items()]
    if point == "plain":
        first = [arm for arm in ARMS if not arm.endswith("-paper")]
        every.append((SUMMARY, "study-plain-arms", arms_table(report, first)))
    return every
