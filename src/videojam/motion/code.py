"""The motion code: every choice that decides how optical flow becomes a colour."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor

from videojam.motion.choices import Curve, Estimator, Noise, Padding, Style
from videojam.motion.colours import STYLES
from videojam.strict import Strict


class MotionCode(Strict):
    """How flow is estimated, drawn as RGB (Eq. 5) and padded; stored with each joint model.

    Training, sampling and evaluation of one model must all use the same code.
    """

    estimator: Estimator = Field(
        "raft", description="What measures the flow: RAFT, OpenCV's DIS, or the source's own exact flow."
    )
    style: Style = Field(
        "value",
        description="What the magnitude m drives: value (static is black) or saturation (static is white).",
    )
    scale: float = Field(
        0.15,
        ge=1e-6,
        le=100,
        description="s of Eq. 5: the fraction of the frame's diagonal, per frame, that is drawn as m = 1.",
    )
    curve: Curve = Field(
        "linear", description="Curve applied to m before drawing; sqrt and log make slow motion visible."
    )
    padding: Padding = Field(
        "first", description="Which flow is duplicated so that T-1 flows fill T frames (first: put in front)."
    )
    gain: float = Field(1.0, ge=1e-3, le=1e3, description="Factor on the motion's latents; the paper's is 1.")
    noise: Noise = Field(
        "same",
        description="Noise level of d: same as x's (paper), or its own, drawn apart in training, which the network "
        "reads as one more input channel.",
    )

    def full_scale_px(self, height: int, width: int) -> float:
        """Speed in px/frame that is drawn as m = 1: `s·sqrt(H² + W²)` (Eq. 5).

        Args:
            height: Frame height in px.
            width: Frame width in px.
        """
        return self.scale * math.hypot(height, width)

    def draw(self, flow: Float[Tensor, "num_flows 2 h w"]) -> UInt8[Tensor, "num_frames 3 h w"]:
        """Draw T-1 flows as the T-frame RGB video that the autoencoder encodes to d (Eq. 5).

        Args:
            flow: T-1 flows in px/frame, finite.

        Raises:
            VideoJamError: If there is no flow, or NaN or infinity in it.
        """
        from videojam.motion.flow import motion_video  # it imports this module

        return motion_video(flow, self)

    def read(
        self, video: UInt8[Tensor, "num_frames 3 h w"] | Float[Tensor, "num_frames 3 h w"]
    ) -> Float[Tensor, "num_flows 2 h w"]:
        """Read the T-1 flows in px/frame back from a T-frame motion video: the inverse of `draw`.

        Args:
            video: uint8, or float in 0..1.

        Raises:
            VideoJamError: If there are fewer than two frames, or NaN or infinity in them.
        """
        from videojam.motion.flow import decode_motion_video  # it imports this module

        return decode_motion_video(video, self)

    def still(self, height: int, width: int) -> UInt8[Tensor, "1 3 h w"]:
        """Draw one frame in which nothing moves.

        Args:
            height: In px.
            width: In px.
        """
        return self.draw(torch.zeros(1, 2, height, width))[:1]

    def of_latents(self) -> dict[str, Any]:
        """Return what of the code decides a clip's latents: everything except the noise level."""
        return self.model_dump(mode="json", exclude={"noise"})

    @property
    def blend(self) -> str:
        """CSS blend mode in which a motion video over its clip leaves what is still unchanged."""
        return STYLES[self.style].blend

    @property
    def speed_is(self) -> str:
        """What of a colour grows with speed, in a word: brightness or saturation."""
        return STYLES[self.style].speed_is

    def __str__(self) -> str:
        """Say in words how flow is measured and drawn."""
        own = "" if self.noise == "same" else ", noise level of its own"
        return f"flow by {self.estimator}, style {self.style}, scale {self.scale:g}, curve {self.curve}{own}"
