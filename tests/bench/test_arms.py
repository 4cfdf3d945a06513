"""Arms as users write them."""

from __future__ import annotations

import pytest

from videojam.bench.make.arms import parse_arm, parse_arms
from videojam.errors import VideoJamError
from videojam.guidance.config import GuidanceConfig


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("tiny:videojam", "tiny-videojam", "tiny:videojam"),
        ("runs/mine/", "mine", "runs/mine/"),
        ("owner/Model-1.3B", "Model-1.3B", "owner/Model-1.3B"),
        ("ours=runs/mine,steps=7", "ours", "runs/mine"),
    ],
)
def test_names_and_sources(text, name, source):
    arm = parse_arm(text)
    assert (arm.name, arm.source) == (name, source)


def test_options_change_the_models_default_guidance_and_nothing_else():
    default = GuidanceConfig(w_text=2, w_motion=1)
    arm = parse_arm("a=m,w_motion=0.5,window=t:0-0.4,steps=7")
    assert arm.guidance(default) == GuidanceConfig(
        w_text=2, w_motion=0.5, window={"unit": "t", "start": 0, "end": 0.4}
    )
    assert arm.steps == 7
    assert parse_arm("m").guidance(default) == default
    dropped = parse_arm("m,drop_motion=true").guidance(default)
    assert (dropped.mode, dropped.drop_motion, dropped.uses_motion_branch) == ("cfg", True, False)


@pytest.mark.parametrize(
    "text", ["a=m,color=red", "a=m,steps=0", "a=m,steps", "a b=m", "a=m,mode=outer", "a="]
)
def test_what_has_no_meaning_is_refused(text):
    with pytest.raises(VideoJamError, match="arm"):
        parse_arm(text)


def test_two_arms_of_one_name_are_refused():
    with pytest.raises(VideoJamError, match="'mine' 2 times"):
        parse_arms(["runs/mine", "other/mine"])
