"""Arms as users write them."""

from __future__ import annotations

import pytest

from videojam.bench.make.arms import arm_of, parse_arm, parse_arms
from videojam.errors import VideoJamError
from videojam.sampling.settings import SampleSettings


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


def test_options_are_settings_of_the_sample_and_an_arms_own_go_first():
    arm = parse_arm("a=m,w_motion=0.5,window=t:0-0.4,steps=7", ["num_steps=9", "height=32"])
    assert arm.settings == SampleSettings(
        w_motion=0.5, window={"unit": "t", "start": 0, "end": 0.4}, num_steps=7, height=32
    )
    assert parse_arm("m").settings == SampleSettings()
    assert parse_arm("m,revision=main,pipeline=stock").revision == "main"


def test_what_was_asked_for_is_the_same_in_short_and_long_names():
    short = parse_arm("a=m,steps=7,window=half").asked()
    assert short == arm_of("a", {"source": "m", "num_steps": 7, "window": "half"}).asked()
    assert short == arm_of("a", short).asked()
    assert short.keys() == {"source", "num_steps", "window"}


@pytest.mark.parametrize(
    "text",
    [
        "a=m,color=red",
        "a=m,steps=0",
        "a=m,steps",
        "a b=m",
        "a=m,mode=outer",
        "a=",
        "a=m,steps=1,steps=2",
        "a=m,source=n",
        "../a=m",
        "a=m,fps=0",
        "a=m,fps=nan",
        "a=m,seed=3",
        "a=m,steps=2.5",
        "a=m,",
        "a=world:truth,w_text=2",
        "a=world:truth,steps=9",
        "a=world:truth,revision=main",
    ],
)
def test_what_has_no_meaning_is_refused(text):
    with pytest.raises(VideoJamError, match="arm"):
        parse_arm(text)


def test_two_arms_of_one_name_are_refused():
    with pytest.raises(VideoJamError, match="'mine' 2 times"):
        parse_arms(["runs/mine", "other/mine"])


def test_the_worlds_own_clips_pass_over_the_sampling_of_all_arms_only():
    arm = parse_arm("world:truth,frames=9,fps=8", ["steps=9", "w_text=2"])
    assert (arm.settings.num_frames, arm.settings.fps) == (9, 8.0)
