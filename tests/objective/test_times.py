"""Which times are drawn and how much each counts: the base's own density, and min-SNR of v-prediction."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    CogVideoXTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from diffusers.training_utils import compute_snr
from pydantic import ValidationError

from videojam.errors import VideoJamError
from videojam.families.cogvideox import CogVideoXFamily
from videojam.families.hunyuan_video import HunyuanVideoFamily
from videojam.families.ltx import LTXFamily
from videojam.families.mochi import MochiFamily
from videojam.families.training_times import TrainingTimes
from videojam.families.wan import WanFamily
from videojam.joint.batch import Batch
from videojam.objective.config import ObjectiveConfig
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import Draws, sample_t
from videojam.seeds import generator_of

SIGMA = torch.tensor([0.05, 0.4, 0.75, 1.0])


def median_sigma(times, num_tokens=1024):
    config = ObjectiveConfig(t_sampling="base").of_base(times, num_tokens)
    return 1 - sample_t(config, 20001, generator_of(0, 0, "t")).median().item()


@pytest.mark.parametrize(
    ("family", "scheduler", "median"),
    [  # the middle of logit-normal times, σ = 1/2, shifted: s/2 / (1 + (s − 1)/2) = s / (s + 1)
        (WanFamily(), UniPCMultistepScheduler(flow_shift=3.0, use_flow_sigmas=True), 3 / 4),
        (HunyuanVideoFamily(), FlowMatchEulerDiscreteScheduler(shift=7.0), 7 / 8),
        (MochiFamily(), FlowMatchEulerDiscreteScheduler(invert_sigmas=True), 1 / 2),
        (CogVideoXFamily(), CogVideoXDDIMScheduler(), 1 / 2),
    ],
)
def test_a_bases_own_times_have_the_shift_of_its_scheduler(family, scheduler, median):
    times = family.training_times(scheduler)
    assert median_sigma(times) == pytest.approx(median, abs=0.01)
    assert (times.density == "uniform") == isinstance(family, CogVideoXFamily)


def test_the_shift_of_ltx_grows_with_the_tokens():
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        base_shift=0.95,
        max_shift=2.05,
    )
    times = LTXFamily().training_times(scheduler)
    for tokens, log_shift in ((1024, 0.95), (4096, 2.05), (2560, 1.5)):
        assert math.log(times.shift_at(tokens)) == pytest.approx(log_shift)
        assert median_sigma(times, tokens) == pytest.approx(1 / (1 + math.exp(-log_shift)), abs=0.01)


def test_other_densities_are_what_they_were():
    config = ObjectiveConfig(t_sampling="uniform", t_shift=2.0)
    assert config.of_base(TrainingTimes(shift=5.0), 7) is config
    with pytest.raises(ValidationError, match="leave t_shift out"):
        ObjectiveConfig(t_sampling="base", t_shift=3.0)


@pytest.fixture(scope="module")
def cogvideox():
    scheduler = CogVideoXDDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    return CogVideoXFamily(scheduler=scheduler, num_channels=4)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_is_that_of_v_prediction(cogvideox, gamma):
    timesteps = (SIGMA * 1000 - 1).round().long()
    snr = compute_snr(cogvideox.scheduler, timesteps)
    expected = (snr.clamp(max=gamma) / (snr + 1)).float()
    torch.testing.assert_close(cogvideox.min_snr_weight(SIGMA, gamma), expected, atol=1e-6, rtol=1e-5)
    assert cogvideox.min_snr_weight(SIGMA, gamma)[-1] == 0  # no signal at the last time


def test_both_halves_of_a_clip_are_weighted_and_nothing_else_changes(cogvideox):
    torch.manual_seed(0)
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=8, out_channels=8, time_embed_dim=8,
        text_embed_dim=16, num_layers=1, sample_width=4, sample_height=4, sample_frames=9, max_text_seq_length=5,
    ).eval()  # fmt: skip
    x, d, eps_x, eps_d = torch.randn(4, 4, 4, 3, 4, 4)
    text = {"encoder_hidden_states": torch.randn(4, 5, 16)}
    never = torch.zeros(4, dtype=torch.bool)
    draws = Draws(sigma=SIGMA, sigma_d=SIGMA, eps_x=eps_x, eps_d=eps_d, drop_text=never, drop_motion=never)
    null = {"encoder_hidden_states": torch.zeros(1, 5, 16)}
    with torch.no_grad():
        plain, weighted = (
            Denoiser(transformer, cogvideox, True, null, min_snr_gamma=gamma).losses(Batch(x, d, text), draws)
            for gamma in (None, 5.0)
        )
    weight = cogvideox.min_snr_weight(SIGMA, 5.0)
    for half, other in zip(plain, weighted, strict=True):
        torch.testing.assert_close(other, half * weight)


def test_a_flow_model_refuses_it_before_anything_is_encoded(tmp_path):
    from videojam.training.config import TrainConfig
    from videojam.training.run import train

    config = TrainConfig.model_validate(
        {
            "base": "tiny:base", "out": str(tmp_path / "run"), "num_steps": 1, "objective": {"min_snr_gamma": 5.0},
            "data": {"source": {"kind": "world", "num_clips": 2}, "cache": str(tmp_path / "cache")},
        }
    )  # fmt: skip
    with pytest.raises(
        VideoJamError, match=r"objective\.min_snr_gamma: expected a base that predicts v"
    ) as caught:
        train(config)
    assert caught.value.found == "WanTransformer3DModel, which predicts flow, ε − x"
    assert not (tmp_path / "cache").exists()
