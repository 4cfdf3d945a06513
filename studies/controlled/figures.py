"""The figures of one point of the study: arms over seeds, paired contrasts, the cost of guidance, single changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np

from studies.controlled.scales import JUDGE, chosen_scales
from videojam.evaluation.intervals import bootstrap_mean, paired_difference
from videojam.world import KINDS

Results = dict[str, Any]

ARMS = {
    "base": "base, CFG",
    "control": "control (plain fine-tune), CFG",
    "videojam-cfg": "VideoJAM, CFG (w2 = 0)",
    "videojam": "**VideoJAM, Inner-Guidance**",
    "videojam-w1-0": "— without text guidance (w1 = 0)",
    "videojam-no-flow": "— without its motion (d = 0)",
    "videojam-ip2p": "— InstructPix2Pix guidance",
    "base-paper": "base, CFG at the paper's w1 = 5",
    "control-paper": "control at w1 = 5",
    "videojam-paper": "VideoJAM at w1 = 5, w2 = 3",
}
CONTRASTS = (
    ("videojam", "control"),  # the primary one
    ("videojam-paper", "control-paper"),
    ("videojam-cfg", "control"),
    ("videojam", "videojam-cfg"),
    ("videojam", "videojam-w1-0"),
    ("videojam", "videojam-no-flow"),
    ("videojam", "videojam-ip2p"),
)
# A clip whose parts can't be followed is asked fewer laws; so broken laws are also compared where both follow.
FOLLOWED = "broken_laws_if_followed"
MEASURES = {"coherent": (100, 1), "broken_laws": (1, 2), FOLLOWED: (1, 2)}  # scale and digits to show
MUST_NOT_FALL = ("follows_prompt", "palette_error", "edge_sharpness", "background_flicker")
# Transformer forwards a step: the joint model's three, and what a window or reuse saves of them.
FORWARDS = {
    "videojam-w2-0": 2.0, "videojam-t0.3": 2.3, "videojam-t0.5": 2.5, "videojam-t0.6": 2.6, "videojam": 3.0,
    "videojam-reuse": 2.0, "videojam-ip2p": 3.0, "videojam-appearance": 3.0,
}  # fmt: skip


def clip_values(results: Results, arm: str, measure: str) -> dict[str, float]:
    """One value a clip of one arm; NaN where the measure is none."""
    if measure == FOLLOWED:
        follows = clip_values(results, arm, "follows_prompt")
        broken = clip_values(results, arm, "broken_laws")
        return {clip: laws if follows[clip] else float("nan") for clip, laws in broken.items()}
    return results["values"].get(arm, {}).get(f"{JUDGE}.{measure}", {})


def over_seeds(seeds: list[Results], arms: tuple[str, ...], measure: str) -> np.ndarray:
    """Values `[seeds, arms, clips]` of the clips for which all arms of all seeds have one."""
    rows = [[clip_values(found, arm, measure) for arm in arms] for found in seeds]
    clips = sorted(set.intersection(*(set(values) for row in rows for values in row)))
    values = np.array([[[cell[clip] for clip in clips] for cell in row] for row in rows], dtype=np.float64)
    return values[..., np.isfinite(values).all(axis=(0, 1))]


def contrast(seeds: list[Results], one: str, other: str, measure: str) -> dict[str, Any]:
    """mean(one − other) per fine-tune seed that has both, and of the mean over seeds, paired over prompts."""
    seeds = [found for found in seeds if {one, other} <= found["values"].keys()]
    values = over_seeds(seeds, (one, other), measure)
    each = [paired_difference(*pair) for pair in values]
    return {
        "pooled": asdict(paired_difference(*values.mean(axis=0))),
        "seeds": [asdict(found) for found in each],
        "agree_in_sign": {np.sign(found.mean) for found in each} in ({1.0}, {-1.0}),
    }


def arm_row(seeds: list[Results], arm: str) -> dict[str, Any]:
    """What one arm reached: mean over its seeds with an interval over prompts, each seed, each kind."""
    own = [found for found in seeds if arm in found["table"]]
    row: dict[str, Any] = {}
    for measure in (*MEASURES, "follows_prompt"):
        values = over_seeds(own, (arm,), measure)[:, 0]
        row[measure] = asdict(bootstrap_mean(values.mean(axis=0))) | {"seeds": values.mean(axis=1).tolist()}
    row["kinds"] = {
        kind: float(np.mean([f["categories"][kind][arm][f"{JUDGE}.coherent"]["mean"] for f in own]))
        for kind in KINDS
    }
    return row


def gather(seeds: list[Results], grid: Results, changes: Results | None) -> dict[str, Any]:
    """All figures of one point."""
    zero = seeds[0]
    pairs = [pair for pair in CONTRASTS if zero["table"].keys() >= set(pair)]
    cost = [arm for arm in FORWARDS if arm in zero["table"]]
    report: dict[str, Any] = {
        "date": date.today().isoformat(),
        "versions": zero["versions"],
        "scales": chosen_scales(grid),
        "arms": {arm: arm_row(seeds, arm) for arm in ARMS if arm in zero["table"]},
        "contrasts": {
            measure: {f"{a} − {b}": contrast(seeds, a, b, measure) for a, b in pairs}
            for measure in (*MEASURES, *MUST_NOT_FALL)
        },
        "cost": {
            arm: {"forwards": FORWARDS[arm]} | arm_row([zero], arm)
            | {f"{measure} minus exact": contrast([zero], arm, "videojam", measure)["pooled"] for measure in MEASURES}
            for arm in cost if len(cost) > 1
        },
    }  # fmt: skip
    if changes:
        both = {part: zero[part] | changes[part] for part in ("table", "values")}
        both["categories"] = {kind: zero["categories"][kind] | changes["categories"][kind] for kind in KINDS}
        report["changes"] = {
            arm: arm_row([both], arm)
            | {
                f"{measure} minus {role}": contrast([both], arm, other, measure)["pooled"]
                for measure in MEASURES
                for role, other in compared_with(arm, changes["table"]).items()
            }
            for arm in sorted(changes["table"])
        }
    return report


def compared_with(arm: str, changed: Collection[str]) -> dict[str, str]:
    """The control, with the same change if that was run, and the arm of seed 0 without the change.

    VideoJAM without w2 also has the control at its own w1, if that was run.
    """
    own_control = f"{arm.removesuffix('-cfg')}-control"
    same_w1 = f"{own_control}-same-w1"
    unchanged = "videojam-cfg" if arm.endswith("-cfg") else "videojam"
    found = {
        "control": own_control if own_control in changed else "control",
        "unchanged": "control" if "-control" in arm else unchanged,
    }
    return found | ({"control-same-w1": same_w1} if arm.endswith("-cfg") and same_w1 in changed else {})
