"""Reusing what guidance added: hook equals twin, forwards are counted, and n = 1 is what it was."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tiny_pipelines import randomise_projections

import tiny_families as tiny
from videojam.errors import VideoJamError
from videojam.guidance.config import PRESETS, Guidance
from videojam.guidance.hook import guided, pipeline_scale
from videojam.guidance.reuse import DeltaReuse
from videojam.guidance.window import Window
from videojam.joint.convert import convert
from videojam.models.load import load_model
from videojam.sampling.request import draw_noise
from videojam.sampling.sample import sample
from videojam.sampling.twin import sample_twin

PROMPTS = ["a red ball moves left", "green wheel"]
SIZE = {"num_frames": 5, "height": 32, "width": 32, "max_sequence_length": 8}
ARGUMENTS = {"seeds": 3, "num_steps": 5, **SIZE}
ALL = Window(end=1.0)
MODES = {
    "inner": Guidance(window=ALL, reuse_every=2),
    "every third": Guidance(window=ALL, reuse_every=3),
    "half": Guidance(reuse_every=2),
    "begins between": Guidance(window=Window(unit="steps", start=1, end=4), reuse_every=3),
    "appearance": Guidance(window=ALL, reuse_every=2, motion_on="appearance"),
    "batched": Guidance(window=ALL, reuse_every=2, batched=True),
    "w/o text": Guidance(window=ALL, reuse_every=2, w_text=0.0),
    "w/o flow": Guidance(reuse_every=2, drop_motion=True),
    "cfg": Guidance(mode="cfg", reuse_every=2),
    "ip2p": Guidance(mode="ip2p", window=ALL, reuse_every=2),
    "ip2p, appearance": Guidance(mode="ip2p", window=ALL, reuse_every=2, motion_on="appearance"),
    "none": Guidance(mode="none", reuse_every=2),
}
EVALUATIONS = {  # of five steps; fresh steps are 0, 2, 4, or 0, 3
    "inner": 3 + 1 + 3 + 1 + 3,
    "every third": 3 + 1 + 1 + 3 + 1,
    "half": 3 + 1 + 3 + 1 + 2,  # the window is steps 0, 1, 2
    "begins between": 2 + 3 + 1 + 1 + 2,
    "appearance": 11,
    "batched": 11,
    "w/o text": 2 + 1 + 2 + 1 + 2,
    "w/o flow": 2 + 1 + 2 + 1 + 2,
    "cfg": 2 + 1 + 2 + 1 + 2,
    "ip2p": 11,
    "ip2p, appearance": 11,
    "none": 5,
}


@pytest.fixture(scope="module")
def model(tiny_joints):
    model = load_model(tiny_joints["t2v"])
    randomise_projections(model.pipeline)
    return model


@pytest.mark.parametrize("name", MODES)
def test_pipeline_equals_twin_and_costs_what_it_should(model, name):
    guidance = MODES[name]
    out = sample(model, PROMPTS, guidance=guidance, decode=False, **ARGUMENTS)
    twin = sample_twin(model, PROMPTS, guidance=guidance, **ARGUMENTS)
    assert torch.allclose(out.latents, twin, atol=2e-4)
    assert out.trace.num_evaluations == EVALUATIONS[name]
    exact = sample(
        model, PROMPTS, guidance=guidance.model_copy(update={"reuse_every": 1}), decode=False, **ARGUMENTS
    )
    difference = (out.latents - exact.latents).abs().max()
    assert difference == 0 if name == "none" else difference > 1e-2


def test_the_network_runs_no_more_than_is_counted(model):
    calls = []
    block = model.pipeline.transformer.blocks[0]
    handle = block.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    try:
        out = sample(model, PROMPTS, guidance=MODES["inner"], decode=False, **ARGUMENTS)
    finally:
        handle.remove()
    assert len(calls) == out.trace.num_forwards == 11
    assert sum(calls) == 2 * out.trace.num_evaluations  # two clips


def test_two_forwards_a_step_cost_what_cfg_costs(model):
    preset = Guidance(**PRESETS["two-forwards"])
    run = partial(sample, model, PROMPTS, decode=False, **{**ARGUMENTS, "num_steps": 6})
    trace, cfg = run(guidance=preset).trace, run(guidance=Guidance(mode="cfg")).trace
    assert trace.num_evaluations == cfg.num_evaluations == 12
    assert trace.motion_steps == [0, 1, 2, 3, 4, 5]
    assert Guidance(**PRESETS["paper"]) == Guidance()
    assert set(PRESETS) == {"paper", "two-forwards"}


def test_reuse_is_exact_where_the_deltas_do_not_change(model):
    """On the first step, and on every one that computes them, nothing is approximated."""
    one = {**ARGUMENTS, "num_steps": 1}
    exact = sample(model, PROMPTS, guidance=Guidance(window=ALL), decode=False, **one).latents
    reused = sample(model, PROMPTS, guidance=Guidance(window=ALL, reuse_every=4), decode=False, **one).latents
    assert torch.equal(exact, reused)


def test_nothing_is_left_on_the_transformer(model):
    transformer = model.pipeline.transformer
    before = dict(vars(transformer))
    sample(model, PROMPTS, guidance=MODES["inner"], decode=False, **ARGUMENTS)
    assert "forward" not in vars(transformer)
    assert not transformer._forward_hooks
    assert vars(transformer).keys() - before.keys() <= {"_diffusers_hook"}  # diffusers' registry stays
    assert not transformer._diffusers_hook.hooks

    def stand_in(*args, **kwargs):  # as offload puts one there
        return type(transformer).forward(transformer, *args, **kwargs)

    transformer.forward = stand_in
    try:
        sample(model, PROMPTS, guidance=MODES["inner"], decode=False, **ARGUMENTS)
        assert vars(transformer)["forward"] is stand_in
    finally:
        del transformer.forward


def test_each_expert_computes_its_own(tiny_joints):
    model = load_model(tiny_joints["experts"])
    randomise_projections(model.pipeline)
    guidance = Guidance(window=ALL, reuse_every=5)
    out = sample(model, PROMPTS, guidance=guidance, decode=False, **ARGUMENTS)
    assert any(1 - t < 0.875 for t in out.trace.times)
    assert out.trace.num_evaluations == 3 + 3 + 3 * 1  # the first step of each expert
    assert torch.allclose(out.latents, sample_twin(model, PROMPTS, guidance=guidance, **ARGUMENTS), atol=2e-4)


@pytest.mark.parametrize(
    ("write", "frames", "side"),
    [
        (tiny.write_tiny_cogvideox, 9, 32),
        (tiny.write_tiny_ltx, 9, 64),
        (tiny.write_tiny_mochi, 13, 32),
        (tiny.write_tiny_hunyuan_video15, 9, 32),
    ],
    ids=["cogvideox", "ltx", "mochi", "hunyuan-video-1.5"],
)
def test_families_with_both_passes_in_one_batch_and_with_a_guider(write, frames, side, tmp_path):
    write(tmp_path / "base")
    model = load_model(convert(tmp_path / "base", tmp_path / "joint"))
    generator = torch.Generator().manual_seed(0)
    transformer = model.pipeline.transformer
    with torch.no_grad():  # motion that is read and predicted, as if trained
        for name in (model.family.input_projection, model.family.output_projection):
            weight = transformer.get_submodule(name).weight
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    options = {"seeds": 3, "num_steps": 3, "num_frames": frames, "height": side, "width": side}
    options["max_sequence_length"] = 8
    guidance = Guidance(window=ALL, reuse_every=2)
    out = sample(model, PROMPTS, guidance=guidance, decode=False, **options)
    assert out.trace.num_evaluations == 3 + 1 + 3
    twin = sample_twin(model, PROMPTS, guidance=guidance, **options)
    assert torch.allclose(out.latents, twin, atol=1e-3)
    exact = sample(model, PROMPTS, guidance=Guidance(window=ALL), decode=False, **options)
    assert (exact.latents - out.latents).abs().max() > 1e-2
    assert exact.trace.num_evaluations == 9


def test_the_stock_call_under_the_hook(model):
    pipe, guidance = model.pipeline, MODES["inner"]
    noise = draw_noise(model, [3, 4], 5, 32, 32)
    with guided(pipe, model.family, guidance) as traces:
        latents = pipe(
            PROMPTS,
            latents=noise,
            guidance_scale=pipeline_scale(guidance),
            num_inference_steps=5,
            output_type="latent",
            **SIZE,
        ).frames
    assert torch.equal(latents, sample(model, PROMPTS, guidance=guidance, decode=False, **ARGUMENTS).latents)
    assert [trace.num_evaluations for trace in traces] == [11]


def test_a_base_has_no_hook_to_reuse_with(tiny_wan):
    with pytest.raises(VideoJamError, match="reuse_every"):
        sample(load_model(tiny_wan), PROMPTS, guidance=MODES["cfg"], decode=False, **ARGUMENTS)


def test_which_steps_are_fresh():
    def fresh(every, windows, networks=None):
        reuse = DeltaReuse(every)
        networks = networks or ["a"] * len(windows)
        return [
            i for i, (w, n) in enumerate(zip(windows, networks, strict=True)) if reuse.begin(i, bool(w), n)
        ]

    assert fresh(1, [1, 1, 0, 0]) == [0, 1, 2, 3]
    assert fresh(2, [1] * 6) == [0, 2, 4]
    assert fresh(2, [0, 1, 1, 1, 1]) == [0, 1, 3]  # motion guidance begins at 1
    assert fresh(3, [1, 1, 0, 0, 0]) == [0, 3]  # its end needs nothing new
    assert fresh(4, [1] * 5, ["a", "a", "b", "b", "b"]) == [0, 2]
