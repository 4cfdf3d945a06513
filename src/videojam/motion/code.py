"""The motion code: every choice that decides how optical flow becomes a colour."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LOG_GAIN = 100.0
"""k of the logarithmic curve `log(1 + k·m) / log(1 + k)`: m = 0.01 is drawn at 15 % brightness."""


class MotionCode(BaseModel):
    """How flow is estimated, drawn as RGB (Eq. 5) and padded; stored with each joint model.

    Training, sampling and evaluation of one model must all use the same code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    estimator: Literal["raft", "dis", "exact"] = Field(
        "raft", description="What measures the flow: RAFT, OpenCV's DIS, or the source's own exact flow."
    )
    style: Literal["value", "saturation"] = Field(
        "value",
        description="What the magnitude m drives: value (static is black) or saturation (static is white).",
    )
    scale: float = Field(
        0.15,
        gt=0,
        allow_inf_nan=False,
        description="s of Eq. 5: the fraction of the frame's diagonal, per frame, that is drawn as m = 1.",
    )
    curve: Literal["linear", "sqrt", "log"] = Field(
        "linear", description="Curve applied to m before drawing; sqrt and log make slow motion visible."
    )
    padding: Literal["first", "last"] = Field(
        "first", description="Which flow is duplicated so that T-1 flows fill T frames (first: put in front)."
    )

    def full_scale_px(self, height: int, width: int) -> float:
        """Speed in px/frame that is drawn as m = 1: `s·sqrt(H² + W²)` (Eq. 5).

        Args:
            height: Frame height in px.
            width: Frame width in px.
        """
        return self.scale * math.hypot(height, width)
