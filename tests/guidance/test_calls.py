"""Guidance belongs to one call of a pipeline: a second call, an interrupted one, and scales of the caller's own."""

from __future__ import annotations

import pytest
import torch
from tiny_pipelines import randomise_projections

from videojam.errors import VideoJamError
from videojam.guidance.config import Guidance
from videojam.guidance.hook import guided, pipeline_scale
from videojam.guidance.rules import RULES, rule_of
from videojam.guidance.rules.rule import Predictions, Weights
from videojam.guidance.window import Window
from videojam.models.load import load_model
from videojam.sampling.request import draw_noise

SIZE = {"num_frames": 5, "height": 32, "width": 32, "max_sequence_length": 8, "num_inference_steps": 3}
ALL = Window(end=1.0)


def call(model, config, **more):
    """Call the stock pipeline, as a user does inside a `guided` block."""
    arguments = {"guidance_scale": pipeline_scale(config), "latents": draw_noise(model, [3], 5, 32, 32)}
    return model.pipeline("a red ball", output_type="latent", **SIZE, **arguments | more).frames


@pytest.mark.parametrize("config", [Guidance(), Guidance(mode="ip2p", window=ALL, reuse_every=2)])
def test_each_call_in_a_block_is_guided(trained_joint, config):
    pipe = trained_joint.pipeline
    with guided(pipe, trained_joint.family, config) as traces:
        first, second = call(trained_joint, config), call(trained_joint, config)
    assert torch.equal(first, second)
    assert len(traces) == 2
    assert traces[0] == traces[1]


def test_a_call_after_an_interrupted_one_is_guided(trained_joint):
    config, pipe = Guidance(window=ALL), trained_joint.pipeline

    def interrupt(pipe, step, timestep, kwargs):
        raise KeyboardInterrupt

    with guided(pipe, trained_joint.family, config) as traces:
        expected = call(trained_joint, config)
        with pytest.raises(KeyboardInterrupt):
            call(trained_joint, config, callback_on_step_end=interrupt)
        after = call(trained_joint, config)
    assert torch.equal(after, expected)
    assert [trace.motion_steps for trace in traces] == [[0, 1, 2], [0], [0, 1, 2]]


def test_a_scale_of_the_callers_own_leaves_w2_as_it_is(tiny_joints):
    """A14B's guidance_scale_2 sets w1 of the second expert; w2 there is what was asked for (Eq. 8)."""
    model = load_model(tiny_joints["experts"])
    randomise_projections(model.pipeline)
    asked, meant = Guidance(w_text=5.0, window=ALL), Guidance(w_text=2.0, window=ALL)
    with guided(model.pipeline, model.family, asked):
        own_scale = call(model, asked, guidance_scale=3.0, guidance_scale_2=3.0)
        only_second = call(model, asked, guidance_scale_2=3.0)
    with guided(model.pipeline, model.family, meant):
        expected = call(model, meant)
    assert torch.allclose(own_scale, expected, atol=1e-5)
    with guided(model.pipeline, model.family, asked):
        assert not torch.allclose(only_second, call(model, asked), atol=1e-3)


def test_a_rule_that_is_built_on_its_scale_refuses_another(trained_joint):
    config = Guidance(mode="ip2p", window=ALL)
    with (
        pytest.raises(VideoJamError, match="guidance_scale = 2"),
        guided(trained_joint.pipeline, trained_joint.family, config),
    ):
        call(trained_joint, config, guidance_scale=6.0)


def test_a_transformer_outside_of_any_pass_is_refused(trained_joint):
    pipe = trained_joint.pipeline
    with (
        pytest.raises(VideoJamError, match="cache_context"),
        guided(pipe, trained_joint.family, Guidance()),
    ):
        pipe.transformer(hidden_states=torch.zeros(1, 8, 2, 4, 4))


@pytest.mark.parametrize("name", RULES)
def test_stock_cfg_of_what_a_rule_returns_is_its_combination(name):
    rule, weights = rule_of(name), Weights(2.0, 1.5)
    u, null_text, branch = torch.randn(
        3, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    seen = Predictions(u, null_text if rule.has_null_text else None, branch if rule.branch else None)
    scale = rule.scale(weights)
    passes = {"cond": u, "uncond": null_text}
    passes[rule.acts_on] = rule.returned(seen, weights, scale)
    stock = passes["uncond"] + scale * (passes["cond"] - passes["uncond"]) if scale > 1 else passes["cond"]
    assert torch.allclose(stock, rule.combine(seen, weights))


def test_ip2p_weighs_absolutely():
    """(1 + w1, 1 + w2) of it is Eq. 8 with (w1, w2) where the two branches of motion are the same: both are linear."""
    u, n, b = 2.0, 1.0, 0.5
    at_one = rule_of("ip2p").combine(Predictions(*map(torch.tensor, (u, n, b))), Weights(1.0, 1.0))
    assert float(at_one) == u  # no guidance at all
