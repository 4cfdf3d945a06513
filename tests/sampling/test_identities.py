"""The golden identities of sampling, by exact equality."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from tiny_pipelines import randomise_projections

from exactness import same_as_the_base
from videojam.guidance.config import Guidance
from videojam.guidance.window import Window
from videojam.joint.latents import split
from videojam.models.load import load_model
from videojam.sampling.sample import sample

PROMPTS = ["a red ball moves left", "green wheel"]
SIZE = {"num_frames": 5, "height": 32, "width": 32, "max_sequence_length": 8}
ALL = Window(end=1.0)


def stock_latents(pipe, seeds, num_steps, scale, **extra):
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return pipe(
        prompt=PROMPTS,
        generator=generators,
        num_inference_steps=num_steps,
        guidance_scale=scale,
        output_type="latent",
        **SIZE,
        **extra,
    ).frames


@pytest.mark.parametrize("kind", ["t2v", "i2v", "per_token", "experts"])
def test_fresh_joint_model_follows_the_base_exactly(tiny_bases, tiny_joints, kind):
    """Identity 2: Inner-Guidance on a converted model is the base's CFG trajectory in x, bit for bit."""
    extra = {"image": Image.linear_gradient("L").resize((32, 32)).convert("RGB")} if kind == "i2v" else {}
    base, joint = load_model(tiny_bases[kind]), load_model(tiny_joints[kind])
    base.pipeline.set_progress_bar_config(disable=True)
    guidance = Guidance(w_text=5.0, w_motion=3.0, window=ALL)
    out = sample(joint, PROMPTS, seeds=[3, 9], num_steps=3, guidance=guidance, decode=False, **SIZE, **extra)
    expected = stock_latents(base.pipeline, [3, 9], 3, 6.0, **extra)
    x, d = split(out.latents)
    assert same_as_the_base(x, expected)
    assert out.trace.motion_steps == [0, 1, 2]
    ours = sample(base, PROMPTS, seeds=[3, 9], num_steps=3, decode=False, **SIZE, **extra)
    assert torch.equal(ours.latents, expected)
    assert d.std() > 0.5  # d is noise of its own, untouched by a model that predicts no motion yet
    assert not torch.equal(d[0], d[1])
    assert (torch.corrcoef(torch.stack([d[0].flatten(), x[0].flatten()]))[0, 1]).abs() < 0.3


def run(model, **guidance):
    config = Guidance(**{"window": ALL, **guidance})
    return sample(model, PROMPTS, seeds=5, num_steps=3, guidance=config, decode=False, **SIZE)


def test_without_motion_weight_it_is_cfg(trained_joint):
    """Identity 3: w2 = 0 is CFG of scale 1 + w1, by our mode and by the stock call."""
    inner = run(trained_joint, w_text=5.0, w_motion=0.0)
    assert torch.equal(inner.latents, run(trained_joint, mode="cfg", w_text=5.0).latents)
    pipe = trained_joint.pipeline
    noise = sample(trained_joint, PROMPTS, seeds=5, num_steps=1, guidance=Guidance(mode="none"), **SIZE)
    assert noise.latents.shape == inner.latents.shape
    from videojam.sampling.request import draw_noise

    stock = stock_latents(pipe, [5, 6], 3, 6.0, latents=draw_noise(trained_joint, [5, 6], 5, 32, 32))
    assert torch.equal(inner.latents, stock)
    assert inner.trace.num_forwards == 6


def test_without_both_weights_it_is_one_plain_forward(trained_joint):
    inner = run(trained_joint, w_text=0.0, w_motion=0.0)
    assert torch.equal(inner.latents, run(trained_joint, mode="none").latents)
    assert inner.trace.num_forwards == 3


def test_every_branch_has_an_effect(trained_joint):
    """Else the equalities above would hold for a hook that does nothing."""
    full = run(trained_joint).latents
    for other in (
        {"w_motion": 0.0},
        {"w_text": 0.0},
        {"drop_motion": True},
        {"motion_on": "appearance"},
        {"mode": "ip2p"},
        {"mode": "none"},
        {"window": Window(unit="steps", end=1)},
    ):
        assert (run(trained_joint, **other).latents - full).abs().max() > 1e-2, other


def test_motion_guidance_of_appearance_alone_leaves_d_of_the_first_step(trained_joint):
    config = {"w_text": 1.0, "w_motion": 3.0, "window": ALL}
    one = {"num_steps": 1, "seeds": 5, "decode": False, **SIZE}
    x, d = split(
        sample(trained_joint, PROMPTS, guidance=Guidance(motion_on="appearance", **config), **one).latents
    )
    x_both, d_both = split(sample(trained_joint, PROMPTS, guidance=Guidance(**config), **one).latents)
    x_cfg, d_cfg = split(
        sample(trained_joint, PROMPTS, guidance=Guidance(mode="cfg", w_text=1.0), **one).latents
    )
    assert torch.equal(x, x_both)
    assert torch.equal(d, d_cfg)
    assert not torch.equal(x, x_cfg)
    assert not torch.equal(d, d_both)


def test_hook_leaves_no_trace_on_the_pipeline(trained_joint):
    transformer, scheduler = trained_joint.pipeline.transformer, trained_joint.pipeline.scheduler
    run(trained_joint)
    assert not transformer._forward_hooks
    assert not transformer._forward_pre_hooks
    assert "cache_context" not in vars(transformer)
    assert trained_joint.pipeline.scheduler is scheduler


def test_seeds_reproduce_and_do_not_depend_on_the_batch(trained_joint):
    first, again = run(trained_joint), run(trained_joint)
    assert torch.equal(first.latents, again.latents)
    config = Guidance(window=ALL)
    alone = sample(
        trained_joint, PROMPTS[1:], seeds=6, num_steps=3, guidance=config, decode=False, **SIZE
    ).latents
    assert torch.allclose(first.latents[1:], alone, atol=1e-4)


def test_deviation_of_d_is_traced_beside_its_expectation(trained_joint):
    trace = run(trained_joint, mode="none").trace
    assert len(trace.std_d) == len(trace.times) == 3
    assert trace.std_d[0] == pytest.approx(trace.expected_std_d()[0], rel=0.1)  # noise alone
    assert trace.expected_std_d(0.5) == pytest.approx(
        [(0.25 * t**2 + (1 - t) ** 2) ** 0.5 for t in trace.times]
    )


def test_experts_are_both_guided(tiny_joints):
    model = load_model(tiny_joints["experts"])
    randomise_projections(model.pipeline)
    out = run(model)
    assert out.trace.num_forwards == 9
    sigmas = [1 - t for t in out.trace.times]
    assert sigmas[0] > 0.875 > sigmas[-1]  # the run crosses the boundary
