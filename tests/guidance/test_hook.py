"""The hook beside what else diffusers hangs on a transformer: caches, adapters, errors."""

from __future__ import annotations

import pytest
import torch
from diffusers import FirstBlockCacheConfig
from peft import LoraConfig

from videojam.families import family_of
from videojam.guidance.config import Guidance
from videojam.guidance.hook import guided, pipeline_scale
from videojam.guidance.window import Window
from videojam.sampling.sample import sample

ARGUMENTS = {"seeds": 3, "num_frames": 5, "height": 32, "width": 32, "num_steps": 4, "max_sequence_length": 8}
ALL = Guidance(window=Window(end=1.0))


def latents(model):
    return sample(model, ["a red ball"], guidance=ALL, decode=False, **ARGUMENTS).latents


def test_cache_has_a_context_for_each_branch(trained_joint):
    """A first-block cache that never skips changes nothing: the branches don't read each other's states."""
    expected = latents(trained_joint)
    trained_joint.pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.0))
    assert torch.equal(latents(trained_joint), expected)
    trained_joint.pipeline.transformer.disable_cache()
    trained_joint.pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.5))
    assert not torch.equal(latents(trained_joint), expected)


def test_adapters_are_part_of_every_branch(trained_joint):
    expected = latents(trained_joint)
    transformer = trained_joint.pipeline.transformer
    transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    assert torch.equal(latents(trained_joint), expected)  # B starts at zero
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    assert not torch.equal(latents(trained_joint), expected)


def test_hook_is_removed_after_an_error(trained_joint):
    pipe = trained_joint.pipeline
    pipe.scheduler.set_timesteps(1)
    with (
        pytest.raises(TypeError),
        guided(pipe, family_of(pipe), ALL),
        pipe.transformer.cache_context("cond"),
    ):
        pipe.transformer(hidden_states=torch.zeros(1, 8, 2, 4, 4))  # neither time nor text
    assert not pipe.transformer._forward_hooks
    assert not pipe.transformer._forward_pre_hooks


def test_user_calls_the_stock_pipeline_under_the_hook(trained_joint):
    """The public pieces are enough by themselves: `guided`, `pipeline_scale` and the stock call."""
    from videojam.sampling.request import draw_noise

    pipe = trained_joint.pipeline
    noise = draw_noise(trained_joint, [3], 5, 32, 32)
    size = {"num_frames": 5, "height": 32, "width": 32, "max_sequence_length": 8, "num_inference_steps": 4}
    with guided(pipe, trained_joint.family, ALL):
        out = pipe(
            "a red ball", latents=noise, guidance_scale=pipeline_scale(ALL), output_type="latent", **size
        ).frames
    assert torch.equal(out, latents(trained_joint))


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        (Guidance(w_text=5.0), 6.0),
        (Guidance(mode="cfg", w_text=2.0), 3.0),
        (Guidance(mode="ip2p", w_text=7.0), 2.0),
        (Guidance(mode="none"), 1.0),
    ],
)
def test_scale_for_the_stock_pipeline(config, scale):
    assert pipeline_scale(config) == scale
