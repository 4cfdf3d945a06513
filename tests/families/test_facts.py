"""What single families say of themselves, against the stock code that it is about."""

from __future__ import annotations

import pytest
import torch

import tiny_families as tiny
from videojam.errors import VideoJamError
from videojam.families import FAMILIES, family_of
from videojam.guidance.config import Guidance
from videojam.models.load import load_model
from videojam.sampling.sample import sample
from videojam.sampling.settings import resolve

SIZE = {"num_frames": 9, "height": 32, "width": 32, "max_sequence_length": 8}


@pytest.fixture(scope="module")
def padded(tmp_path_factory):
    return load_model(tiny.write_tiny_cogvideox(tmp_path_factory.mktemp("cog") / "base", padded=True))


@pytest.fixture(scope="module")
def hunyuan(tmp_path_factory):
    return load_model(tiny.write_tiny_hunyuan_video(tmp_path_factory.mktemp("hunyuan") / "base"))


def test_cogvideox_noises_and_aims_as_its_scheduler(padded):
    family, scheduler = padded.family, padded.pipeline.scheduler
    x, eps = torch.randn(2, 2, 4, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.25, 1.0])  # timesteps 249 and 999, the last without any signal
    alpha = scheduler.alphas_cumprod[[249, 999]].float().view(2, 1, 1, 1, 1)
    assert torch.allclose(
        family.noised(x, eps, sigma), alpha.sqrt() * x + (1 - alpha).sqrt() * eps, atol=1e-6
    )
    assert torch.allclose(
        family.target(x, eps, sigma), alpha.sqrt() * eps - (1 - alpha).sqrt() * x, atol=1e-6
    )
    assert torch.equal(family.target(x, eps, sigma)[1], -x[1])
    assert family.mixture(1.0) == (0.0, 1.0)
    a, b = family.mixture(0.25)
    assert a**2 + b**2 == pytest.approx(1)
    assert a**2 == pytest.approx(alpha[0].item())


def test_cogvideox_of_a_class_alone_knows_no_noise_levels():
    with pytest.raises(VideoJamError, match="family_of"):
        FAMILIES["CogVideoXTransformer3DModel"].noised(torch.zeros(1), torch.zeros(1), torch.ones(1))


def test_cogvideox_15_pads_an_odd_number_of_latent_frames_in_front(padded):
    family, pipe = padded.family, padded.pipeline
    video = torch.rand(1, 3, 9, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    z = family.encode_video(pipe, video)
    assert z.shape[2] == 4
    assert torch.equal(z[:, :, 0], z[:, :, 1])
    with torch.no_grad():
        plain = pipe.vae.encode(video).latent_dist.mode() * 0.7
        assert torch.allclose(z[:, :, 1:], plain)
        expected = pipe.vae.decode(plain / 0.7).sample.clamp(-1, 1)
    assert torch.allclose(family.decode_video(pipe, z, num_frames=9), expected, atol=1e-5)
    assert family.encode_video(pipe, video[:, :, :5]).shape[2] == 2  # even already


def test_hunyuan_video_is_told_scale_1_in_training_and_6_in_sampling(hunyuan):
    family, transformer = hunyuan.family, hunyuan.pipeline.transformer
    seen = []
    handle = transformer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["guidance"].tolist()), with_kwargs=True
    )
    cond = family.encode_prompts(hunyuan.pipeline, ["a red ball"], 8)
    with torch.no_grad():
        family.denoise(transformer, torch.randn(1, 4, 3, 4, 4), torch.tensor([0.5]), cond)
    sample(hunyuan, ["a red ball"], num_steps=1, decode=False, **SIZE)
    handle.remove()
    assert seen == [[1000.0], [6000.0]]  # and one pass alone: w1 = 0
    assert resolve(hunyuan).guidance.w_text == 0


def test_a_flow_schedule_is_refused_for_a_diffusion_model(padded):
    with pytest.raises(VideoJamError, match="not a flow model"):
        sample(padded, ["a"], num_steps=2, schedule="linear_quadratic", decode=False, **SIZE)
    with pytest.raises(VideoJamError, match="flow shift"):
        sample(padded, ["a"], num_steps=2, shift=3.0, decode=False, **SIZE)


@pytest.mark.parametrize("write", [tiny.write_tiny_mochi, tiny.write_tiny_ltx])
def test_linear_quadratic_steps_fit_pipelines_that_pass_sigmas(write, tmp_path):
    model = load_model(write(tmp_path / "base"))
    size = {"num_frames": 13 if write is tiny.write_tiny_mochi else 9, "height": 64, "width": 64}
    out = sample(
        model,
        ["a"],
        num_steps=4,
        schedule="linear_quadratic",
        guidance=Guidance(mode="none"),
        decode=False,
        max_sequence_length=8,
        **size,
    )
    assert out.trace.times[:3] == pytest.approx([0.0, 0.0125, 0.025], abs=1e-6)


def test_an_image_pipeline_that_cannot_carry_motion_is_refused_by_name(tmp_path):
    from diffusers import LTXConditionPipeline

    pipe = LTXConditionPipeline(**load_model(tiny.write_tiny_ltx(tmp_path / "ltx")).pipeline.components)
    with pytest.raises(VideoJamError, match="LTXConditionPipeline") as caught:
        family_of(pipe).run_pipeline(pipe, torch.zeros(1, 32, 2, 2, 2), ([], []))
    assert "text-to-video" in caught.value.expected
