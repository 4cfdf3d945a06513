"""Windows in steps and in t, on the schedules that the papers use."""

from __future__ import annotations

import pytest
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule
from pydantic import ValidationError

from videojam.errors import VideoJamError
from videojam.families import family_of
from videojam.guidance.window import Window, parse_window
from videojam.sampling.schedule import build_scheduler, linear_quadratic_sigmas

WAN = family_of("WanTransformer3DModel")


def times(scheduler, num_steps):
    scheduler.set_timesteps(num_steps)
    return WAN.paper_times(scheduler).tolist()


@pytest.mark.parametrize("num_steps", [4, 7, 64, 100])
def test_linear_quadratic_equals_diffusers(num_steps):
    assert linear_quadratic_sigmas(num_steps) == pytest.approx(linear_quadratic_schedule(num_steps, 0.025))


def test_steps_are_not_time():
    """Step 50 of 100 is t = 0.025, step 80 t = 0.38 on the paper's schedule; half of shift 5 is t = 0.17."""
    paper = times(build_scheduler(FlowMatchEulerDiscreteScheduler(), "linear_quadratic"), 100)
    report = Window().report(paper)
    assert report.steps == (0, 50)
    assert report.t == pytest.approx((0.0, 0.025))
    assert Window(unit="steps", start=0, end=80).report(paper).t[1] == pytest.approx(0.38, abs=0.01)
    shifted = times(build_scheduler(FlowMatchEulerDiscreteScheduler(), shift=5.0), 50)
    assert Window().report(shifted).t[1] == pytest.approx(0.17, abs=0.01)


def test_window_in_t_picks_the_steps_that_start_inside():
    window = Window(unit="t", start=0.2, end=0.6)
    assert window.steps([0.0, 0.2, 0.4, 0.6, 0.8]) == [1, 2]
    assert (
        str(window.report([0.0, 0.2, 0.4, 0.6, 0.8]))
        == "motion guidance in steps 1..2 of 5, t = 0.200..0.600"
    )
    assert (
        str(Window(unit="t", start=0.6, end=0.8).report([0.0, 0.5])) == "motion guidance in none of 2 steps"
    )
    assert Window(end=1.0).report([0.0, 0.5]).t == (0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", Window(end=1.0)),
        ("half", Window(end=0.5)),
        ("steps:0-50", Window(unit="steps", start=0, end=50)),
        ("t:0.1-0.4", Window(unit="t", start=0.1, end=0.4)),
    ],
)
def test_windows_as_users_write_them(text, expected):
    assert parse_window(text) == expected


@pytest.mark.parametrize(
    "text", ["", "most", "steps:5", "minutes:0-1", "t:0.6-0.2", "t:0.5-0.5", "steps:3-3", "share:0-0"]
)
def test_unreadable_windows(text):
    with pytest.raises(VideoJamError, match="steps:0-50"):
        parse_window(text)


def test_window_ends_after_it_starts():
    with pytest.raises(ValidationError, match="is empty"):
        Window(unit="t", start=0.5, end=0.1)


def test_base_schedule_is_kept_and_its_shift_can_change():
    own = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    assert times(build_scheduler(own), 10) == times(own, 10)
    assert times(build_scheduler(own, shift=8.0), 10)[5] < times(own, 10)[5]
    assert own.config.flow_shift == 3.0
    with pytest.raises(VideoJamError, match="shift"):
        build_scheduler(own, "linear_quadratic", shift=8.0)
