"""The pipeline under the hook equals the plain loop, in every mode; batched equals sequential."""

from __future__ import annotations

import pytest
import torch
from tiny_pipelines import randomise_projections

from videojam.guidance.config import Guidance
from videojam.guidance.window import Window
from videojam.models.load import load_model
from videojam.sampling.sample import sample
from videojam.sampling.twin import sample_twin

ARGUMENTS = {"seeds": 3, "num_frames": 5, "height": 32, "width": 32, "num_steps": 4, "max_sequence_length": 8}
PROMPTS = ["a red ball moves left", "green wheel"]
ALL = Window(end=1.0)
MODES = {
    "inner": Guidance(window=ALL),
    "inner, half": Guidance(),
    "inner, in t": Guidance(window=Window(unit="t", start=0.1, end=0.8)),
    "inner, appearance": Guidance(window=ALL, motion_on="appearance"),
    "w/o text": Guidance(window=ALL, w_text=0.0),
    "w/o inner": Guidance(w_motion=0.0),
    "w/o flow": Guidance(drop_motion=True),
    "cfg": Guidance(mode="cfg"),
    "none": Guidance(mode="none"),
    "none, w/o flow": Guidance(mode="none", drop_motion=True),
    "ip2p": Guidance(mode="ip2p", window=ALL),
    "ip2p, half": Guidance(mode="ip2p"),
    "ip2p, weights 1 and 0": Guidance(mode="ip2p", window=ALL, w_text=1.0, w_motion=0.0),
    "ip2p, appearance": Guidance(mode="ip2p", window=ALL, motion_on="appearance"),
}


@pytest.fixture(scope="module", params=["t2v", "per_token", "experts"])
def model(request, tiny_joints):
    model = load_model(tiny_joints[request.param])
    randomise_projections(model.pipeline)
    return model


@pytest.mark.parametrize("name", MODES)
def test_pipeline_equals_twin_and_batched_equals_sequential(model, name):
    guidance = MODES[name]
    out = sample(model, PROMPTS, guidance=guidance, decode=False, **ARGUMENTS)
    twin = sample_twin(model, PROMPTS, guidance=guidance, **ARGUMENTS)
    assert out.latents.std() > 0.5
    assert torch.allclose(out.latents, twin, atol=1e-4)
    batched = guidance.model_copy(update={"batched": True})
    together = sample(model, PROMPTS, guidance=batched, decode=False, **ARGUMENTS)
    assert torch.allclose(out.latents, together.latents, atol=1e-4)
    assert together.trace.num_forwards == out.trace.num_forwards - len(out.trace.motion_steps)


def test_twin_on_the_papers_schedule(model):
    guidance = Guidance()
    out = sample(model, PROMPTS, guidance=guidance, schedule="linear_quadratic", decode=False, **ARGUMENTS)
    twin = sample_twin(model, PROMPTS, guidance=guidance, schedule="linear_quadratic", **ARGUMENTS)
    assert torch.allclose(out.latents, twin, atol=1e-4)
    assert out.trace.times[:3] == pytest.approx([0.0, 0.0125, 0.025], abs=1e-6)
    assert out.window.steps == (0, 2)


def test_twin_follows_the_negative_prompt(model):
    arguments = {**ARGUMENTS, "negative_prompt": "fast blue chain"}
    out = sample(model, PROMPTS, guidance=Guidance(), decode=False, **arguments)
    assert torch.allclose(
        out.latents, sample_twin(model, PROMPTS, guidance=Guidance(), **arguments), atol=1e-4
    )
    plain = sample(model, PROMPTS, guidance=Guidance(), decode=False, **ARGUMENTS)
    assert (out.latents - plain.latents).abs().max() > 1e-3
