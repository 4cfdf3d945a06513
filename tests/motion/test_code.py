"""The motion code is frozen, strict and documented."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from videojam.motion.code import MotionCode
from videojam.motion.colours import CURVES, STYLES


def test_defaults_are_the_papers():
    assert MotionCode().model_dump() == {
        "estimator": "raft",
        "style": "value",
        "scale": 0.15,
        "curve": "linear",
        "padding": "first",
        "gain": 1.0,
        "noise": "same",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"stile": "value"},
        {"style": "hue"},
        *({"scale": scale} for scale in (0, -1, 1e-320, 1e-7, 1e300, float("inf"))),
        *({"gain": gain} for gain in (0, 1e-320, 1e300, float("nan"))),
    ],
)
def test_wrong_keys_and_values_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        MotionCode(**wrong)


def test_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        MotionCode().scale = 0.3


def test_json_round_trip():
    code = MotionCode(estimator="exact", style="saturation", scale=0.07, curve="log", padding="last")
    assert MotionCode.model_validate_json(code.model_dump_json()) == code


@pytest.mark.parametrize("padding", ["first", "last"])
@pytest.mark.parametrize("curve", list(CURVES))
@pytest.mark.parametrize("style", list(STYLES))
def test_each_style_and_curve_draws_reads_back_and_has_a_still_frame(style, curve, padding):
    code = MotionCode(style=style, curve=curve, padding=padding, scale=0.5)
    flow = torch.tensor([3.0, -4.0]).view(1, 2, 1, 1).expand(2, 2, 16, 16).contiguous()
    video = code.draw(flow)
    assert video.shape == (3, 3, 16, 16)
    assert (code.read(video) - flow).abs().max() < 0.4  # 8 bits of a full scale of 11.3 px/frame
    still = code.still(16, 16)
    assert still.shape == (1, 3, 16, 16)
    assert code.read(still.expand(2, -1, -1, -1)).abs().max() == 0


@pytest.mark.parametrize(
    ("style", "colour", "blend"), [("value", 0, "screen"), ("saturation", 255, "multiply")]
)
def test_what_is_still_leaves_the_clip_below_unchanged(style, colour, blend):
    """CSS: screen is 1 - (1-a)(1-b), which black leaves; multiply is a·b, which white leaves."""
    code = MotionCode(style=style)
    assert (code.still(4, 4) == colour).all()
    assert code.blend == blend


def test_the_words_of_a_code():
    assert str(MotionCode(estimator="dis", curve="log")) == "flow by dis, style value, scale 0.15, curve log"
