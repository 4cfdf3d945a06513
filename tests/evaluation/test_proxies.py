"""The panel's measures on clips whose motion is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from videojam.errors import VideoJamError
from videojam.evaluation.judge import Judge
from videojam.evaluation.proxies import MEASURES, ProxyJudge, cuts, frozen_tail, relative_acceleration
from videojam.motion.video import read_video, write_video

SIDE = 96


def texture(seed, height=SIDE, width=3 * SIDE):
    noise = np.random.default_rng(seed).normal(size=(3, height, width))
    smooth = gaussian_filter(noise, (0, 3, 3))
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def panning(shifts, seed=0):
    """A window that moves over a texture: content moves left by the shifts, in px."""
    image = texture(seed)
    starts = np.concatenate([[0], np.cumsum(shifts)])
    return torch.from_numpy(np.stack([image[:, :, s : s + SIDE] for s in starts]))


@pytest.fixture(scope="module")
def judge():
    return ProxyJudge()


def test_uniform_motion(judge):
    assert isinstance(judge, Judge)
    scores = judge.score(panning([4] * 12), 8, "")
    assert judge.measures == MEASURES
    assert list(scores) == [measure.name for measure in MEASURES]
    # The threshold is 6·96/256 = 2.25 px, and 4 px a frame are 8·4/96 short sides a second.
    assert scores["proxy_dynamic"] == 1
    assert scores["proxy_speed"] == pytest.approx(8 * 4 / 96, rel=0.1)
    assert scores["proxy_acceleration"] < 0.1
    assert scores["proxy_frozen_tail_s"] == 0
    assert scores["proxy_cuts"] == 0


def test_slow_and_still_motion(judge):
    assert judge.score(panning([1] * 12), 8.0, "")["proxy_dynamic"] == 0
    # At 24 fps every third frame is taken: 3 px a pair.
    assert judge.score(panning([1] * 24), 24.0, "")["proxy_dynamic"] == 1
    still = judge.score(panning([0] * 12), 8.0, "")
    assert still["proxy_dynamic"] == 0
    assert math.isnan(still["proxy_acceleration"])
    assert still["proxy_frozen_tail_s"] == 12 / 8


def test_jerky_motion_accelerates_more_than_uniform(judge):
    jerky = judge.score(panning([1, 7] * 6), 8.0, "")
    # Mean of |7 − 1| over the mean of 1 and 7, but for the estimator's error.
    assert jerky["proxy_acceleration"] == pytest.approx(6 / 4, rel=0.15)


def test_acceleration_follows_the_motion():
    flow = torch.zeros(2, 2, 8, 32)
    flow[0, 0, :, :16], flow[1, 0, :, 10:26] = 10.0, 10.0  # the moving half has moved on by 10 px
    assert relative_acceleration(flow) == 0.0
    flow[1, 0, :, 10:26] = -10.0
    assert relative_acceleration(flow) == pytest.approx(2.0)
    assert math.isnan(relative_acceleration(flow * 0))


def test_a_frozen_tail_survives_the_codec(tmp_path):
    video = panning([4] * 8 + [0] * 6)
    assert frozen_tail(video) == 6
    write_video(tmp_path / "clip.mp4", video, 8)
    assert frozen_tail(read_video(tmp_path / "clip.mp4").frames) == 6
    assert frozen_tail(panning([4] * 4 + [0] * 4 + [4] * 4)) == 0


def test_cuts_are_told_from_motion_and_flashes():
    dark, light = panning([3] * 5), 255 - panning([3] * 5, seed=1) // 4
    assert cuts(torch.cat([dark, light])) == [6]
    assert cuts(torch.cat([dark, light, dark])) == [6, 12]
    flash = torch.cat([dark[:3], torch.full_like(dark[:1], 255), dark[3:]])
    assert cuts(flash) == []
    assert cuts(panning([20] * 8)) == []
    assert cuts(dark) == []


def test_bad_clips_and_estimators_are_told(judge):
    with pytest.raises(VideoJamError, match="three frames"):
        judge.score(panning([4]), 8.0, "")
    with pytest.raises(VideoJamError, match="raft, dis"):
        ProxyJudge("farneback")


def test_half_frozen_looks_smooth_which_is_why_it_is_a_panel(judge):
    whole, frozen = judge.score(panning([4] * 12), 8.0, ""), judge.score(panning([4] * 6 + [0] * 6), 8.0, "")
    assert frozen["proxy_acceleration"] < 0.3
    assert frozen["proxy_frozen_tail_s"] == 6 / 8
    assert frozen["proxy_speed"] < 0.6 * whole["proxy_speed"]
