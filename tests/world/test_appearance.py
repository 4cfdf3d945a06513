"""Appearance measures know nothing of the order of frames and react to appearance damage."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videojam.world import KINDS, appearance_measures, sample_clip
from videojam.world.damage import add_noise, blur, freeze_from, shuffle


@pytest.mark.parametrize("kind", KINDS)
def test_blind_to_frame_order(kind: str) -> None:
    clip = sample_clip(6, kind=kind)
    before = appearance_measures(clip.video, clip.caption)
    after = appearance_measures(shuffle(clip.video, np.random.default_rng(0)), clip.caption)
    assert after == pytest.approx(before, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_reacts_to_soft_edges_noise_and_wrong_paint(kind: str) -> None:
    clip = sample_clip(6, kind=kind)
    truth = appearance_measures(clip.video, clip.caption)
    assert truth["palette_error"] < 0.05
    assert truth["hue_error_deg"] < 4
    assert truth["background_error"] < 0.04
    soft = appearance_measures(blur(clip.video, 1.5), clip.caption)
    assert soft["edge_sharpness"] < 0.85 * truth["edge_sharpness"]
    noisy = appearance_measures(add_noise(clip.video, np.random.default_rng(0)), clip.caption)
    assert noisy["background_flicker"] > truth["background_flicker"] + 0.05
    pale = (clip.video.float() * 0.7 + 255 * 0.3).to(torch.uint8)
    assert appearance_measures(pale, clip.caption)["palette_error"] > truth["palette_error"] + 0.05


def test_freezing_does_not_buy_appearance() -> None:
    clip = sample_clip(6, kind="wheel")
    frozen = appearance_measures(freeze_from(clip.video, 12), clip.caption)
    truth = appearance_measures(clip.video, clip.caption)
    assert frozen["palette_error"] == pytest.approx(truth["palette_error"], abs=0.01)
    assert frozen["edge_sharpness"] == pytest.approx(truth["edge_sharpness"], abs=0.02)


def test_no_parts_gives_no_figure() -> None:
    blank = torch.full((25, 3, 64, 64), 128, dtype=torch.uint8)
    measures = appearance_measures(blank, sample_clip(0).caption)
    assert np.isnan(measures["palette_error"])
    assert measures["part_area_share"] == 0
