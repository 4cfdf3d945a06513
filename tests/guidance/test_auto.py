"""Autoguidance in the stock pipeline and in its twin, against the formula."""

from __future__ import annotations

import pytest
import torch
from tiny_pipelines import randomise_projections

from videojam.errors import VideoJamError
from videojam.guidance.config import Guidance
from videojam.guidance.hook import guided
from videojam.models.load import load_model
from videojam.sampling.sample import sample
from videojam.sampling.twin import sample_twin

SIZE = {"seeds": 3, "num_frames": 5, "height": 32, "width": 32, "max_sequence_length": 8}
PROMPTS = ["a red ball"]


def latents(model, **settings):
    return sample(model, PROMPTS, decode=False, **SIZE, **settings).latents


@pytest.fixture(params=["base", "joint"])
def pair(request, tiny_wan, tiny_joints, tmp_path_factory):
    """A model, and the folder of a weaker one of the same kind with other weights."""
    folder = tiny_wan if request.param == "base" else tiny_joints["t2v"]
    model, other = load_model(folder), load_model(folder)
    if model.is_joint:
        randomise_projections(model.pipeline)
        randomise_projections(other.pipeline)
    with torch.no_grad():
        for parameter in other.pipeline.transformer.parameters():
            parameter.mul_(0.9)
    weaker = tmp_path_factory.mktemp("weaker") / "model"
    other.pipeline.save_pretrained(weaker)
    if (folder / "videojam.json").exists():
        (weaker / "videojam.json").write_bytes((folder / "videojam.json").read_bytes())
    return model, str(weaker)


def test_one_step_is_the_formula(pair):
    """A step is linear in the velocity, so stock samples of both models say what autoguidance must give."""
    model, weaker = pair
    ours, theirs = (latents(m, mode="none", num_steps=1) for m in (model, load_model(weaker)))
    by_text = latents(model, mode="cfg", w_text=2.0, num_steps=1)
    auto = latents(model, mode="auto", w_text=2.0, w_auto=1.5, weaker=weaker, num_steps=1)
    assert not torch.allclose(ours, theirs, atol=1e-3)
    torch.testing.assert_close(auto, by_text + 1.5 * (ours - theirs), atol=1e-4, rtol=1e-4)


def test_pipeline_under_the_hook_is_the_twin(pair):
    model, weaker = pair
    settings = {"mode": "auto", "w_text": 1.0, "w_auto": 2.0, "weaker": weaker, "num_steps": 3}
    stock = latents(model, **settings)
    twin = sample_twin(model, PROMPTS, **SIZE, **settings)
    torch.testing.assert_close(stock, twin, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(stock, latents(model, **settings, window="share:0-0.5"), atol=1e-4)


def test_no_weight_is_text_guidance_and_a_model_can_t_lead_away_from_itself(pair):
    model, weaker = pair
    by_text = latents(model, mode="cfg", w_text=1.0, num_steps=2)
    assert torch.equal(latents(model, mode="auto", w_text=1.0, w_auto=0, weaker=weaker, num_steps=2), by_text)
    itself = load_model(weaker)
    by_text = latents(itself, mode="cfg", w_text=1.0, num_steps=2)
    assert torch.equal(latents(itself, mode="auto", w_text=1.0, weaker=weaker, num_steps=2), by_text)


def test_a_call_s_trace_counts_the_weaker_model(pair):
    model, weaker = pair
    trace = sample(
        model, PROMPTS, decode=False, **SIZE, mode="auto", w_text=0, weaker=weaker, num_steps=2
    ).trace
    assert trace.num_forwards == 4
    assert trace.motion_steps == [0, 1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mode": "auto"}, "weaker=PATH"),
        ({"mode": "cfg", "weaker": "somewhere"}, "only with guidance auto"),
        ({"mode": "auto", "weaker": "somewhere", "w_motion": 1.0}, "w_motion"),
        ({"mode": "cfg", "w_auto": 1.0}, "w_auto"),
        ({"mode": "auto", "weaker": "somewhere", "batched": True}, "without batched"),
        ({"mode": "auto", "weaker": "no/such/folder/here"}, "folder"),
    ],
)
def test_settings_that_nothing_would_read_are_refused(trained_joint, settings, said):
    with pytest.raises(VideoJamError, match=said):
        latents(trained_joint, num_steps=1, **settings)


def test_models_that_do_not_fit_are_refused(trained_joint, tiny_wan, tiny_wan_i2v):
    with pytest.raises(VideoJamError, match="a joint model"):
        latents(trained_joint, mode="auto", weaker=str(tiny_wan), num_steps=1)
    with pytest.raises(VideoJamError, match="in_channels"):
        latents(load_model(tiny_wan), mode="auto", weaker=str(tiny_wan_i2v), num_steps=1)
    pipe, config = trained_joint.pipeline, Guidance(mode="auto")
    with pytest.raises(VideoJamError, match="no transformer"), guided(pipe, trained_joint.family, config):
        pass
