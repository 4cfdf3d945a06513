"""The diffusers guider in stock pipelines equals the package's own loop and hook."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers.modular_pipelines.wan.modular_blocks_wan import WanBlocks

from tiny_families import write_tiny_hunyuan_video15
from videojam.guidance.config import Guidance
from videojam.guidance.guider import InnerGuidance
from videojam.guidance.window import Window
from videojam.joint.convert import convert
from videojam.models.load import load_model
from videojam.sampling.request import draw_noise
from videojam.sampling.sample import sample
from videojam.sampling.twin import sample_twin

PROMPTS = ["a red ball moves left", "green wheel"]
SIZE = {"num_frames": 9, "height": 32, "width": 32, "num_steps": 4, "max_sequence_length": 8}
CASES = {
    "paper": ({"w_text": 5.0, "w_motion": 3.0}, {}),
    "all steps": ({"w_text": 2.0, "w_motion": 1.5}, {"motion_stop": 1.0}),
    "later": ({"w_text": 2.0, "w_motion": 1.5}, {"motion_start": 0.25, "motion_stop": 0.75}),
    "no text guidance": ({"w_text": 0.0, "w_motion": 3.0}, {}),
    "no motion guidance": ({"w_text": 5.0, "w_motion": 0.0}, {}),
}


def own_config(weights, window):
    ends = {"start": window.get("motion_start", 0.0), "end": window.get("motion_stop", 0.5)}
    return Guidance(**weights, window=Window(**ends))


def modular(model, guider):
    """Stock modular text-to-video blocks of Wan up to the latents, on the model's own components."""
    blocks = WanBlocks()
    del blocks.sub_blocks["decode"]  # the autoencoder takes C channels; the package decodes both halves
    pipe = blocks.init_pipeline()
    names = ("text_encoder", "tokenizer", "transformer", "scheduler", "vae")
    pipe.update_components(guider=guider, **{name: getattr(model.pipeline, name) for name in names})
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("case", CASES)
def test_in_stock_modular_wan_it_is_our_loop(trained_joint, case):
    weights, window = CASES[case]
    guider = InnerGuidance(**weights, **window)
    noise = draw_noise(trained_joint, [3, 4], 9, 32, 32)
    nulled = []
    handle = trained_joint.pipeline.transformer.register_forward_hook(
        lambda module, args, kwargs, output: nulled.append(not kwargs["hidden_states"][:, 4:8].any()),
        with_kwargs=True,
    )
    state = modular(trained_joint, guider)(
        prompt=PROMPTS,
        negative_prompt=["", ""],
        latents=noise,
        num_inference_steps=4,
        max_sequence_length=8,
        height=32,
        width=32,
        num_frames=9,
    )
    handle.remove()
    own = own_config(weights, window)
    expected = sample_twin(trained_joint, PROMPTS, seeds=[3, 4], guidance=own, **SIZE)
    torch.testing.assert_close(state.get("latents"), expected, rtol=0, atol=1e-5)
    num_text = 2 if weights["w_text"] else 1
    num_motion = len(own.window.steps([0.0] * 4)) if weights["w_motion"] else 0
    assert (len(nulled), sum(nulled)) == (4 * num_text + num_motion, num_motion)
    assert not trained_joint.pipeline.transformer._forward_pre_hooks


def test_a_disabled_guider_is_one_plain_forward():
    guider = InnerGuidance(enabled=False)  # the stock modular Wan blocks fail with any disabled guider
    guider.set_state(step=0, num_inference_steps=4, timestep=torch.tensor(999))
    u = torch.randn(1, 8, 2, 4, 4)
    assert guider.passes == ["pred_cond"]
    assert torch.equal(guider.forward(u).pred, u)


def test_in_stock_hunyuan_video_15_it_is_our_hook_and_loop(tmp_path):
    base = write_tiny_hunyuan_video15(tmp_path / "base")
    model = load_model(convert(base, tmp_path / "joint"))
    transformer, family = model.pipeline.transformer, model.family
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # as if it had been trained: the motion half is random instead of zero
        for name in (family.input_projection, family.output_projection):
            weight = transformer.get_submodule(name).weight
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2)
    weights, window = CASES["later"]
    own = own_config(weights, window)
    size = SIZE | {"max_sequence_length": None}
    by_hook = sample(model, PROMPTS, seeds=[3, 4], guidance=own, decode=False, **size).latents
    by_loop = sample_twin(model, PROMPTS, seeds=[3, 4], guidance=own, **size)
    model.pipeline.guider = InnerGuidance(**weights, **window)
    latents = model.pipeline(
        prompt=PROMPTS,
        negative_prompt=["", ""],
        latents=draw_noise(model, [3, 4], 9, 32, 32),
        num_inference_steps=4,
        height=32,
        width=32,
        num_frames=9,
        output_type="latent",
    ).frames
    torch.testing.assert_close(latents, by_hook, rtol=0, atol=1e-4)
    torch.testing.assert_close(latents, by_loop, rtol=0, atol=1e-4)
    assert not transformer._forward_pre_hooks


def test_it_saves_and_loads_as_other_guiders_do(tmp_path):
    InnerGuidance(w_text=1.0, w_motion=2.0, motion_stop=0.25).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "guider_config.json").read_text())["w_motion"] == 2.0
    loaded = InnerGuidance.from_pretrained(tmp_path)
    assert loaded.guidance == own_config({"w_text": 1.0, "w_motion": 2.0}, {"motion_stop": 0.25})
    assert loaded.new(w_motion=0.0).num_conditions == 2
