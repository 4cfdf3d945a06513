"""The paper's Table 3 on one checkpoint: all five rows differ in sampling alone."""

from __future__ import annotations

from typing import Any

from videojam.bench.make.arms import ArmSpec
from videojam.errors import VideoJamError

FULL = "full"
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    FULL: ("VideoJAM-4B", {"mode": "inner"}),
    "no-text-guidance": ("w/o text guidance", {"mode": "inner", "w_text": 0.0}),
    "no-inner-guidance": ("w/o Inner-Guidance", {"mode": "cfg"}),
    "no-optical-flow": ("w/o optical flow", {"mode": "cfg", "drop_motion": True}),
    "ip2p-guidance": ("IP2P guidance", {"mode": "ip2p"}),
}
"""Arms by name: the paper's row, and what is changed of the full model (w1 = 0, w2 = 0, d = 0, IP2P)."""


def ablation_arms(spec: ArmSpec) -> list[ArmSpec]:
    """Return the five arms of a joint model, the full one first; weights and sizes are those of `spec`.

    Raises:
        VideoJamError: `spec` already sets what the arms differ in.
    """
    clash = [name for name in ("mode", "drop_motion") if getattr(spec, name) is not None]
    if clash or spec.pipeline == "stock":
        raise VideoJamError(
            expected="a joint model with weights, window and size at most",
            found=", ".join(clash) or "pipeline=stock",
            where="bench ablate",
            fix="Leave it out: the ablations set it.",
        )
    return [spec.model_copy(update={"name": name, **changes}) for name, (_, changes) in ABLATIONS.items()]
