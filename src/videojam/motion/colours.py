"""The curves and colour styles that a motion code names; a new one is a row here and a word in `choices`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LOG_GAIN = 100.0
"""k of the logarithmic curve `log(1 + k·m) / log(1 + k)`: m = 0.01 is drawn at 15 % brightness."""


class Curve(NamedTuple):
    """How the linear magnitude 0..1 becomes the drawn one 0..1, and back.

    Attributes:
        apply: Linear to drawn; may write into its argument.
        invert: Drawn to linear.
    """

    apply: Callable[[Tensor], Tensor]
    invert: Callable[[Tensor], Tensor]


class Style(NamedTuple):
    """What the drawn magnitude m does to the fully saturated colour of a hue.

    Attributes:
        paint: (channel of the hue's colour 0..1, m times white, white) to the channel; may write into the first.
        strength: (largest channel, smallest channel) to m.
        blend: CSS blend mode in which a motion video over its clip leaves what is still unchanged.
        speed_is: What of a colour grows with speed, for legends.
    """

    paint: Callable[[Tensor, Tensor, float], Tensor]
    strength: Callable[[Tensor, Tensor], Tensor]
    blend: str
    speed_is: str


CURVES = {
    "linear": Curve(lambda m: m, lambda drawn: drawn),
    "sqrt": Curve(lambda m: m.sqrt_(), lambda drawn: drawn.square()),
    "log": Curve(
        lambda m: m.mul_(LOG_GAIN).log1p_().mul_(1 / math.log1p(LOG_GAIN)),
        lambda drawn: torch.expm1(drawn * math.log1p(LOG_GAIN)) / LOG_GAIN,
    ),
}
"""By the name that `MotionCode.curve` has."""

STYLES = {
    "value": Style(
        lambda hue, m, white: hue.mul_(m), lambda largest, smallest: largest, "screen", "brightness"
    ),
    "saturation": Style(
        lambda hue, m, white: hue.sub_(1).mul_(m).add_(white),
        lambda largest, smallest: 1 - smallest,
        "multiply",
        "saturation",
    ),
}
"""By the name that `MotionCode.style` has."""
