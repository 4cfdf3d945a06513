"""The Wan family against the stock pipeline and its schedulers."""

from __future__ import annotations

import pytest
import torch
from tiny_pipelines import tiny_transformer

from videojam.errors import VideoJamError
from videojam.families import family_of
from videojam.guidance.config import Guidance
from videojam.joint.latents import join, split
from videojam.models.load import load_model
from videojam.sampling.sample import sample

SIZE = {"num_frames": 5, "height": 32, "width": 32, "max_sequence_length": 8}


def oracle(family, clean, flip=1.0):
    """A transformer that knows the clean latents and returns the family's training target."""

    def forward(hidden_states, timestep, **kwargs):
        sigma = timestep.flatten()[:1] / 1000
        eps = (hidden_states - (1 - sigma) * clean) / sigma
        assert torch.allclose(family.noised(clean, eps, sigma), hidden_states, atol=1e-5)
        return (flip * family.target(clean, eps, sigma),)

    return forward


def test_sizes_beyond_the_rotary_positions_are_refused_before_anything_runs(tiny_bases):
    """The tiny base has 32 positions along each axis; a token is a latent frame, and 2×2 latents wide."""
    model = load_model(tiny_bases["t2v"])
    spatial = 2 * model.pipeline.vae_scale_factor_spatial
    temporal = model.pipeline.vae_scale_factor_temporal
    assert model.family.latent_shape(model.pipeline, 31 * temporal + 1, 32 * spatial, 64)[1] == 32
    for size in ((32 * temporal + 1, 64, 64), (5, 33 * spatial, 64), (5, 64, 33 * spatial)):
        with pytest.raises(VideoJamError, match="at most 32 positions") as caught:
            model.family.latent_shape(model.pipeline, *size)
        assert caught.value.found.endswith("takes 33")


@pytest.mark.parametrize("kind", ["t2v", "per_token", "experts"])  # experts: UniPC, the others Euler
def test_oracle_is_carried_from_noise_to_clean_latents(tiny_joints, kind):
    model = load_model(tiny_joints[kind])
    video = torch.rand(1, 3, 5, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = model.family.encode_video(model.pipeline, video)
    d = model.family.encode_video(model.pipeline, video.flip(2))
    for transformer in model.family.transformers(model.pipeline).values():
        transformer.forward = oracle(model.family, join(x, d))
    atol = 5e-3 if kind == "experts" else 2e-4  # UniPC tells the network σ rounded to 1/1000
    for num_steps in (1, 5):
        out = sample(model, ["a"], num_steps=num_steps, guidance=Guidance(mode="none"), **SIZE)
        x_end, d_end = split(out.latents)
        assert torch.allclose(x_end, x, atol=atol)
        assert torch.allclose(d_end, d, atol=atol)


def test_oracle_of_the_wrong_sign_is_not_carried(tiny_joints):
    model = load_model(tiny_joints["t2v"])
    clean = torch.randn(1, 8, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    model.pipeline.transformer.forward = oracle(model.family, clean, flip=-1.0)
    out = sample(model, ["a"], num_steps=1, guidance=Guidance(mode="none"), decode=False, **SIZE)
    assert (out.latents - clean).abs().max() > 1


def test_decoding_equals_the_stock_pipeline(tiny_bases):
    model = load_model(tiny_bases["t2v"])
    ours = sample(model, ["a red ball"], seeds=7, num_steps=2, **SIZE).video[0]
    stock = model.pipeline(
        "a red ball",
        num_inference_steps=2,
        guidance_scale=6.0,
        generator=torch.Generator().manual_seed(7),
        output_type="pt",
        **SIZE,
    ).frames[0]
    assert (ours - (stock * 255).round()).abs().max() <= 1  # the stock range mapping rounds once more


def test_latents_are_normalised_by_the_vae_statistics(tiny_bases):
    model = load_model(tiny_bases["t2v"])
    video = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    with torch.no_grad():
        raw = model.pipeline.vae.encode(video).latent_dist.mode()
    z = model.family.encode_video(model.pipeline, video)
    assert torch.allclose(z[:, 0], (raw[:, 0] - 0.1) / 1.5, atol=1e-6)
    assert torch.allclose(z[:, 3], raw[:, 3] / 2.0, atol=1e-6)
    assert torch.allclose(model.family.denormalise(model.pipeline.vae, z), raw, atol=1e-6)


def test_prompts_are_encoded_to_the_length_of_the_stock_call(tiny_bases):
    model = load_model(tiny_bases["t2v"])
    long = model.family.encode_prompts(model.pipeline, ["a red ball"])["encoder_hidden_states"]
    short = model.family.encode_prompts(model.pipeline, ["a red ball"], 8)["encoder_hidden_states"]
    assert long.shape == (1, 512, 16)
    assert torch.allclose(long[:, :8], short, atol=1e-6)
    assert (short[:, 4:] == 0).all()  # three words and the end token, then padding
    assert (short[:, :4] != 0).any()


def test_per_token_time_is_one_value_a_token(tiny_bases):
    model = load_model(tiny_bases["per_token"])
    seen = {}
    model.pipeline.transformer.forward = lambda **kwargs: seen.update(kwargs) or (kwargs["hidden_states"],)
    xd = torch.randn(2, 4, 2, 4, 6)
    sigma = torch.tensor([0.25, 0.5])
    model.family.denoise(
        model.pipeline.transformer, xd, sigma, {"encoder_hidden_states": torch.zeros(2, 8, 16)}
    )
    assert seen["timestep"].shape == (2, 2 * 2 * 3)
    assert seen["timestep"].unique().tolist() == [250.0, 500.0]


def test_each_expert_runs_in_its_own_range(tiny_joints):
    model = load_model(tiny_joints["experts"])
    family, pipe = model.family, model.pipeline
    assert set(family.transformers(pipe)) == {"transformer", "transformer_2"}
    assert family.transformer_at(pipe, 875.0) is pipe.transformer
    assert family.transformer_at(pipe, 874.0) is pipe.transformer_2


@pytest.mark.parametrize(
    ("size", "where", "suggestion"),
    [
        ((6, 32, 32), "num_frames", "Use 5"),
        ((5, 40, 32), "height", "Use 32"),
        ((5, 32, 8), "width", "Use 16"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tiny_bases, size, where, suggestion):
    model = load_model(tiny_bases["t2v"])
    with pytest.raises(VideoJamError) as caught:
        model.family.latent_shape(model.pipeline, *size)
    assert caught.value.where == where
    assert suggestion in caught.value.fix


def test_family_is_found_by_name_instance_and_subclass():
    class FSDPWan(type(tiny_transformer())):
        pass

    assert family_of("WanTransformer3DModel") is family_of(tiny_transformer())
    transformer = tiny_transformer()
    transformer.__class__ = FSDPWan
    assert family_of(transformer).transformer_class == "WanTransformer3DModel"
    with pytest.raises(VideoJamError, match="WanTransformer3DModel") as caught:
        family_of("UNet2DConditionModel")
    assert caught.value.found == "UNet2DConditionModel"
