"""Every trained family from a folder on disk through conversion and sampling: one body for all rows of kinds.py."""

from __future__ import annotations

import inspect

import pytest
import torch
from family_kinds import (
    ALL,
    PROMPTS,
    clean_latents,
    conditions,
    fill_new_entries,
    run,
)

from exactness import same_as_the_base
from videojam.errors import VideoJamError
from videojam.guidance.config import Guidance
from videojam.guidance.window import Window
from videojam.joint.convert import convert
from videojam.joint.latents import join, split
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model
from videojam.motion.code import MotionCode
from videojam.sampling.sample import sample
from videojam.sampling.twin import sample_twin


def oracle(family, transformer, clean, flip):
    """A forward that knows the clean latents and returns the family's training target."""

    def forward(hidden_states, timestep, **kwargs):
        sigma = family.sigma_of(timestep.max()[None])  # tokens of a given frame have timestep 0
        hidden = family.unpack(transformer, hidden_states, clean)[:, : clean.shape[1]]
        a, b = family.mixture(float(sigma))
        eps = (hidden - a * clean) / b
        assert torch.allclose(family.noised(clean, eps, sigma), hidden, atol=1e-4)
        sound = [kwargs["audio_hidden_states"]] if "audio_hidden_states" in kwargs else []
        return (family.pack(transformer, flip * family.target(clean, eps, sigma)), *sound)

    return forward


@pytest.mark.parametrize("flip", [1.0, -1.0], ids=["target", "wrong-sign"])
def test_oracle_is_carried_to_the_clean_latents(case, flip, monkeypatch):
    """(o) Identity 5a by the family's own scheduler."""
    model = case.joint_model
    x, d = clean_latents(case, model)
    assert x.shape[1:] == model.family.latent_shape(
        model.pipeline, case.kind.frames, case.kind.side, case.kind.side
    )
    for transformer in model.family.transformers(model.pipeline).values():
        forward = oracle(model.family, transformer, join(x, d), flip)
        monkeypatch.setitem(vars(transformer), "forward", forward)
    arguments = {"guidance": Guidance(mode="none"), "decode": False, **case.kind.options}
    x_end, d_end = split(sample(model, ["a"], num_steps=5, **arguments).latents)
    error = max((x_end - x).abs().max(), (d_end - d).abs().max())
    assert error < case.kind.oracle_atol if flip == 1 else error > 0.5


@torch.no_grad()
def test_appearance_half_equals_the_base_for_random_motion(case):
    """(a) Identity 1, bit for bit."""
    base = case.base_model
    family, pipe = base.family, base.pipeline
    joint = widen_transformer(pipe.transformer)
    shape = family.latent_shape(pipe, case.kind.frames, case.kind.side, case.kind.side)
    x, d = torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(0))
    cond, sigma = conditions(case, base, PROMPTS), torch.tensor([0.3, 0.9])
    expected = family.denoise(pipe.transformer, x, sigma, cond)
    for motion in (torch.zeros_like(d), 100 * d):
        u_x, u_d = split(family.denoise(joint, join(x, motion), sigma, cond))
        assert same_as_the_base(u_x, expected)
        assert not u_d.any()
    assert expected.std() > 0.01


def stock_call(case, model, scale, output_type, prompts=PROMPTS, **more):
    """What the stock call returns that draws its own noise."""
    pipe = model.pipeline
    pipe.set_progress_bar_config(disable=True)
    size, image = case.kind.size, case.kind.options.get("image")
    if image is not None:
        size |= {"image": [image] * len(prompts) if case.kind.image == "each" else image}
    if "max_sequence_length" not in inspect.signature(pipe.__call__).parameters:
        pipe.tokenizer_max_length = size.pop("max_sequence_length")
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 9)[: len(prompts)]]
    return pipe(
        prompt=prompts,
        generator=generators if len(prompts) > 1 else generators[0],  # LTX's decoding takes no list of them
        num_inference_steps=3,
        output_type=output_type,
        **({case.kind.scale_name: scale} if case.kind.scale_name else {}),
        **({"negative_prompt": [""] * len(prompts)} if case.kind.needs_negative else {}),
        **case.kind.plain,
        **size,
        **more,
    ).frames


def stock_latents(case, model, scale):
    """The stock call's final latents as `[B, C, F, H, W]`."""
    family, seen = model.family, []
    if case.kind.rescales:
        stock_call(
            case, model, scale, "latent", callback_on_step_end=lambda *a: seen.append(a[3]["latents"]) or {}
        )
    out = seen[-1] if seen else stock_call(case, model, scale, "latent")
    shape = family.latent_shape(model.pipeline, case.kind.frames, case.kind.side, case.kind.side)
    return family.unpack(model.pipeline.transformer, out, torch.empty(2, *shape))


def test_base_and_fresh_joint_model_follow_the_stock_call(case):
    """(b) CFG of the base, by pipeline and by explicit loop; (c) Inner-Guidance after conversion: identity 2."""
    base, joint = case.base_model, case.joint_model
    expected = stock_latents(case, base, 6.0)
    cfg = Guidance(mode="cfg", w_text=5.0)
    assert torch.equal(run(case, base, guidance=cfg).latents, expected)
    options = {"seeds": [3, 9], "num_steps": 3, **case.kind.options}
    twin = sample_twin(base, PROMPTS, guidance=cfg, **options)
    assert torch.allclose(twin, expected, atol=1e-4)
    assert expected.std() > 0.3

    x, _ = split(run(case, joint, guidance=cfg).latents)
    assert same_as_the_base(x, expected)
    out = run(case, joint, guidance=Guidance(w_text=5.0, w_motion=3.0, window=ALL))
    x, d = split(out.latents)
    if case.kind.batch_atol:
        assert (x - expected).abs().max() <= case.kind.batch_atol
    else:
        assert same_as_the_base(x, expected)
    assert out.trace.motion_steps == [0, 1, 2]
    assert (x - d).abs().max() > 0.5  # d's noise is its own


@pytest.fixture(scope="module")
def plain(case):
    """Latents of the trained model without guidance, after two steps."""
    return run(case, case.trained_model, guidance=Guidance(mode="none"), num_steps=2).latents


@pytest.mark.parametrize(
    "guidance",
    [
        {},
        {"batched": True},
        {"motion_on": "appearance", "window": Window()},
        {"mode": "ip2p", "w_text": 2.0},
        {"w_text": 0.0},
        {"drop_motion": True},
    ],
    ids=str,
)
def test_pipeline_under_the_hook_equals_the_explicit_loop(case, plain, guidance):
    """Every mode of guidance, on a model whose motion half says something."""
    model = case.trained_model
    config = Guidance(**{"window": ALL, **guidance})
    options = {"seeds": [3, 9], "num_steps": 2, **case.kind.options}
    out = run(case, model, guidance=config, num_steps=2)
    twin = sample_twin(model, PROMPTS, guidance=config, **options)
    assert torch.allclose(out.latents, twin, atol=1e-3, rtol=1e-3)
    assert (out.latents - plain).abs().max() > 1e-2


@pytest.fixture(scope="module")
def own(case, tmp_path_factory):
    """The base converted to motion with a noise level of its own."""
    code = MotionCode(estimator="exact", noise="own")
    return convert(case.base, tmp_path_factory.mktemp("own") / "joint", motion=code)


@pytest.fixture(scope="module")
def under_cfg(case):
    """Latents of the base with classifier-free guidance, w1 = 2."""
    return run(case, case.base_model, guidance=Guidance(mode="cfg", w_text=2.0)).latents


@pytest.mark.parametrize("lead", [1.0, 3.0])
def test_motion_with_its_own_noise_level(case, own, under_cfg, lead):
    """Identities 1 and 2 with one more input channel, and the hook against the loop where motion says something."""
    model = load_model(own)
    if lead != 1 and not model.family.prediction.startswith("flow"):
        with pytest.raises(VideoJamError, match="not a flow model"):
            run(case, model, guidance=Guidance(lead=lead))
        return
    family, config = model.family, model.pipeline.transformer.config
    same = case.joint_model.pipeline.transformer
    assert config[family.in_key] == same.config[family.in_key] + 1
    assert config[family.out_key] == same.config[family.out_key]
    assert type(model.pipeline.transformer) is type(same)
    guidance = Guidance(w_text=2.0, w_motion=3.0, window=ALL, lead=lead)
    x, _ = split(run(case, model, guidance=guidance).latents)
    assert (x - under_cfg).abs().max() <= case.kind.batch_atol or same_as_the_base(x, under_cfg)

    fill_new_entries(model)
    out = run(case, model, guidance=guidance, num_steps=2)
    twin = sample_twin(model, PROMPTS, guidance=guidance, seeds=[3, 9], num_steps=2, **case.kind.options)
    assert torch.allclose(out.latents, twin, atol=1e-3, rtol=1e-3)
    assert (out.latents[:, : x.shape[1]] - under_cfg).abs().max() > 1e-2


def test_decoding_equals_the_stock_call(case):
    base = case.base_model
    cfg = Guidance(mode="cfg", w_text=5.0)
    ours = sample(base, PROMPTS[:1], seeds=3, num_steps=3, guidance=cfg, **case.kind.options).video
    stock = stock_call(case, base, 6.0, "pt", PROMPTS[:1])
    assert (ours - (stock * 255).round()).abs().max() <= 1  # the stock mapping to 0..1 rounds once more
    assert ours.float().std() > 1


def test_both_halves_are_decoded(case):
    out = run(case, case.trained_model, decode=True, num_steps=2)
    shape = (2, case.kind.frames, 3, case.kind.side, case.kind.side)
    assert out.video.shape == out.motion_video.shape == shape
    assert out.flow.shape == (2, case.kind.frames - 1, 2, case.kind.side, case.kind.side)


def test_bfloat16_weights_sample_what_float32_ones_do(case):
    if (
        type(case.joint_model.pipeline.scheduler).__name__ == "CogVideoXDPMScheduler"
    ):  # adds noise in each step
        of_each = [
            torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=d)
            for d in (torch.float32, torch.bfloat16)
        ]
        if not torch.allclose(of_each[0], of_each[1].float(), atol=0.05):
            pytest.skip(f"torch {torch.__version__} draws other noise in bfloat16")
    exact, rounded = (
        run(case, model).latents
        for model in (case.joint_model, load_model(case.joint, torch_dtype=torch.bfloat16))
    )
    assert torch.corrcoef(torch.stack([exact.flatten(), rounded.flatten()]))[0, 1] > 0.99
