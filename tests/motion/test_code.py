"""The motion code is frozen, strict and documented."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from videojam.motion.code import MotionCode


def test_defaults_are_the_papers():
    assert MotionCode().model_dump() == {
        "estimator": "raft",
        "style": "value",
        "scale": 0.15,
        "curve": "linear",
        "padding": "first",
    }


@pytest.mark.parametrize(
    "wrong", [{"stile": "value"}, {"style": "hue"}, {"scale": 0}, {"scale": -1}, {"scale": float("inf")}]
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
