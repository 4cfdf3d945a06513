"""How many clips are held out is known before the first is encoded; the null text of training is the empty prompt."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from videojam.data.config import DataConfig, WorldSource
from videojam.data.encode import prepare
from videojam.errors import VideoJamError
from videojam.models.load import load_model
from videojam.models.record import SamplingDefaults
from videojam.motion.code import MotionCode
from videojam.world import WorldConfig

EXACT = MotionCode(estimator="exact", scale=0.1)


@pytest.fixture(scope="module")
def model(tiny_wan):
    return load_model(tiny_wan)


def world(num_clips, cache, **more):
    source = WorldSource(num_clips=num_clips, world=WorldConfig(num_frames=9, pixel_px=4))
    return DataConfig(source=source, cache=cache, max_sequence_length=16, **more)


@pytest.mark.parametrize(
    ("num_clips", "num_heldout"), [(2, 1), (5, 1), (19, 1), (20, 2), (160, 16), (4096, 16)]
)
def test_a_tenth_is_held_out_by_default(num_clips, num_heldout, tmp_path):
    assert world(num_clips, tmp_path).num_heldout_of(num_clips) == num_heldout
    assert world(num_clips, tmp_path, num_heldout=7).num_heldout_of(num_clips) == 7


@pytest.mark.parametrize(("num_clips", "more", "least"), [(5, {"num_heldout": 16}, 17), (1, {}, 2)])
def test_too_few_clips_are_refused_before_any_is_encoded(model, tmp_path, num_clips, more, least):
    cache = tmp_path / "cache"
    with pytest.raises(VideoJamError, match=f"at least {least} clips") as caught:
        prepare(model, world(num_clips, cache, **more), EXACT)
    assert f"{num_clips} usable of {num_clips}" in caught.value.found
    assert not cache.exists()


def test_the_null_text_is_the_empty_prompt_and_not_the_folders_negative_prompt(model, tmp_path):
    negative = dataclasses.replace(model, defaults=SamplingDefaults(negative_prompt="blurry, low quality"))
    null = prepare(negative, world(2, tmp_path), EXACT).null_text
    for name, tensor in model.family.encode_prompts(model.pipeline, [""], 16).items():
        assert torch.equal(null[name], tensor)
