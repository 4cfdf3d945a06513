"""How a model is guided: the mode, its weights, and when the motion branch runs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from videojam.errors import VideoJamError
from videojam.guidance.window import Window

Mode = Literal["inner", "cfg", "ip2p", "none"]
Preset = Literal["paper", "two-forwards"]


class GuidanceConfig(BaseModel):
    """Guidance of one sampling run; the defaults are the paper's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Field(
        "inner",
        description="inner: Eq. 8; cfg: text guidance alone; ip2p: an ablation; none: one plain forward.",
    )
    w_text: float = Field(5.0, ge=0, description="w1; a diffusers guidance_scale is 1 + w1.")
    w_motion: float = Field(3.0, ge=0, description="w2, the weight of the model's own motion.")
    motion_on: Literal["both", "appearance"] = Field(
        "both", description="What w2 guides: both halves (paper) or the appearance alone."
    )
    window: Window = Field(
        Window(),
        description="When motion guidance runs; plain text guidance otherwise. Paper: half the steps.",
    )
    batched: bool = Field(
        False, description="Run the null-motion branch in one batch with its pass: faster, more memory."
    )
    reuse_every: int = Field(
        1,
        ge=1,
        description="Compute what text and motion guidance add on every n-th step, and reuse it on the others, "
        "which cost one forward each; 1: on every step.",
    )
    drop_motion: bool = Field(
        False,
        description="Ablation 'w/o optical flow': d = 0 in every forward, so there is no motion branch.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> GuidanceConfig:
        if self.mode == "ip2p" and self.drop_motion:
            raise ValueError("ip2p guides with the motion, so drop_motion has no meaning in it")
        return self

    @property
    def uses_motion_branch(self) -> bool:
        """Whether any step may need a forward with null motion."""
        if self.drop_motion:
            return False
        return self.mode == "ip2p" or (self.mode == "inner" and self.w_motion != 0)


PRESETS: dict[Preset, dict[str, Any]] = {
    "paper": {"window": Window(), "reuse_every": 1},
    "two-forwards": {"window": Window(end=1.0), "reuse_every": 2},
}
"""Named schedules of Inner-Guidance; the weights stay the model's.

`two-forwards` guides by motion all the way and costs 3, 1, 3, 1, … forwards: two a step, as plain CFG.
"""


def preset_fields(name: str) -> dict[str, Any]:
    """Return the fields of `GuidanceConfig` that a preset sets.

    Raises:
        VideoJamError: no preset of that name.
    """
    for known, fields in PRESETS.items():
        if known == name:
            return dict(fields)
    raise VideoJamError(
        expected=f"one of {', '.join(PRESETS)}",
        found=repr(name),
        where="the preset of guidance",
        fix="Correct the name.",
    )
