"""The legend of drawn motion: a colour wheel, drawn by the motion code itself."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import Any

import cv2
from pydantic import ValidationError

from videojam.bench.report.results import Results
from videojam.motion import draw
from videojam.motion.code import MotionCode


def motion_code(facts: dict[str, Any]) -> MotionCode | None:
    """Return the motion code of an arm's facts; None for an arm that predicts no motion."""
    try:
        if facts.get("motion"):
            return MotionCode(**facts["motion"])
        style = facts.get("motion_style")  # what earlier versions wrote
        return MotionCode(style=style) if style else None
    except (TypeError, ValidationError):
        return None


def legends(results: Results) -> str:
    """Return a wheel with its words for each way in which the arms' motion is drawn; empty where none is."""
    arms: dict[MotionCode, list[str]] = {}
    for name, manifest in results.manifests.items():
        code = motion_code(manifest.facts)
        if code is not None:
            arms.setdefault(code.model_copy(update={"estimator": "raft", "padding": "first"}), []).append(
                name
            )
    return "\n".join(_legend(code, names, results, several=len(arms) > 1) for code, names in arms.items())


def _legend(code: MotionCode, names: list[str], results: Results, several: bool) -> str:
    manifest = results.manifests[names[0]]
    rim = ""
    if manifest.height and manifest.width:
        rim = f": at the rim {code.full_scale_px(manifest.height, manifest.width):.3g} px per frame or more"
    of = f" of {', '.join(names)}" if several else ""
    words = f"Predicted motion{of}: the hue is its direction, the {code.speed_is} its speed{rim}."
    return (
        f'<p class="legend"><img width="48" height="48" alt="Colour wheel of directions" src="{wheel(code)}">'
        f"<span>{escape(words)}</span></p>"
    )


def wheel(code: MotionCode) -> str:
    """Draw motion away from the centre, the faster the further out, as the data URL of a PNG."""
    rgb = draw.wheel(code).permute(1, 2, 0).numpy()
    png = cv2.imencode(".png", rgb[:, :, ::-1])[1]
    return f"data:image/png;base64,{b64encode(png.tobytes()).decode()}"
