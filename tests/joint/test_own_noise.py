"""Motion with a noise level of its own: what the network reads of it, and by how much it leads."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline
from tiny_pipelines import tiny_transformer

from videojam.errors import VideoJamError
from videojam.families import family_of
from videojam.guidance.config import Guidance
from videojam.guidance.lead import leading, motion_time
from videojam.guidance.window import Window
from videojam.joint.batch import Batch
from videojam.joint.convert import convert
from videojam.joint.latents import null_motion, with_level
from videojam.joint.widen import widen_transformer
from videojam.models.load import load_model
from videojam.models.record import load_record
from videojam.motion.code import MotionCode
from videojam.objective.config import ObjectiveConfig
from videojam.objective.denoiser import Denoiser
from videojam.objective.draws import draw, fixed_draws
from videojam.sampling.sample import sample
from videojam.sampling.settings import SampleSettings, resolve
from videojam.training.config import TrainConfig
from videojam.training.run import train

PROMPTS = ["a red ball moves left", "green wheel"]
SIZE = {"num_frames": 5, "height": 32, "width": 32, "max_sequence_length": 8, "decode": False}
OWN = MotionCode(estimator="exact", noise="own")


@pytest.fixture(scope="module")
def own(tiny_wan, tmp_path_factory):
    """A joint folder whose motion has a noise level of its own."""
    return convert(tiny_wan, tmp_path_factory.mktemp("own") / "joint", motion=OWN)


def test_the_level_lies_behind_d_and_is_zero_where_motion_is_null():
    x, d, rest = (torch.full((2, 4, 2, 1, 1), value) for value in (1.0, 2.0, 9.0))
    d[1] = 0  # null motion
    d[0, :, 0] = 0  # a frame that is given
    xd = torch.cat([x, d, rest], dim=1)
    seen = with_level(xd, torch.tensor([0.25, 0.75]), num_channels=4)
    assert seen.shape[1] == 13
    assert seen[0, 8].flatten().tolist() == [0.0, 0.25]
    assert not seen[1, 8].any()
    assert torch.equal(seen[:, 9:], rest)
    assert torch.equal(seen[:, :8], xd[:, :8])
    blind = null_motion(seen, 4, has_level=True)
    assert not blind[:, 4:9].any()
    assert torch.equal(blind[:, 9:], rest)


def test_in_training_d_has_a_level_of_its_own_which_the_network_reads():
    seen = {}

    class Spy(torch.nn.Module):
        def __init__(self, joint):
            super().__init__()
            self.joint, self.config, self.dtype = joint, joint.config, joint.dtype

        def forward(self, hidden_states, **kwargs):
            seen["hidden"] = hidden_states
            return self.joint(hidden_states=hidden_states, **kwargs)

    base = tiny_transformer()
    family = family_of(base).at_noise("own")
    x, d = torch.randn(2, 4, 3, 4, 6), torch.randn(2, 4, 3, 4, 6)
    batch = Batch(x, d, {"encoder_hidden_states": torch.randn(2, 5, 16)})
    draws = draw(ObjectiveConfig(text_dropout=0, motion_dropout=0), 0, 0, 2, tuple(x.shape[1:]))
    draws = replace(draws, drop_motion=torch.tensor([False, True]))
    denoiser = Denoiser(Spy(widen_transformer(base, noise="own")), family, True, {})
    losses = denoiser.losses(batch, draws)
    hidden, t_d = seen["hidden"], 1 - draws.sigma_d
    assert hidden.shape[1] == 9
    expected = t_d[0] * d[0] + (1 - t_d[0]) * draws.eps_d[0]
    assert torch.allclose(hidden[0, 4:8], expected, atol=1e-6)
    assert torch.allclose(hidden[0, :4], (1 - draws.sigma[0]) * x[0] + draws.sigma[0] * draws.eps_x[0])
    assert torch.all(hidden[0, 8] == t_d[0])
    assert not hidden[1, 4:].any()
    # a fresh model predicts no motion, so that its motion loss is that of the target ε − d
    assert torch.allclose(losses[1], (draws.eps_d - d).square().flatten(1).mean(1))


def test_levels_of_d_are_uniform_and_leave_the_other_draws_as_they_were():
    draws = draw(ObjectiveConfig(), 3, 5, 4096, (1, 1, 1, 1))
    assert abs(draws.sigma_d.mean() - 0.5) < 0.02
    assert abs(draws.sigma_d.var() - 1 / 12) < 0.005
    assert abs(torch.corrcoef(torch.stack([draws.sigma, draws.sigma_d]))[0, 1]) < 0.05
    held = fixed_draws(0, 2, 0.3, (4, 3, 2, 2))
    assert held.sigma_d.tolist() == held.sigma.tolist() == pytest.approx([0.7, 0.7])


@pytest.mark.parametrize("lead", [1.0, 2.0, 5.0])
def test_in_sampling_the_network_reads_the_level_of_the_stated_rule(own, lead):
    model, levels = load_model(own), []

    guidance = Guidance(mode="none", lead=lead)

    def reads(module, args, kwargs, output):
        level = kwargs["hidden_states"][:, 8]
        levels.append((float(level.min()), float(level.max())))

    model.pipeline.transformer.register_forward_hook(reads, with_kwargs=True)
    out = sample(model, PROMPTS, seeds=3, num_steps=4, guidance=guidance, **SIZE)
    expected = [1 - (1 - t) ** lead for t in out.trace.times]
    assert [low for low, _ in levels] == pytest.approx(expected, abs=1e-6)
    assert [high for _, high in levels] == pytest.approx(expected, abs=1e-6)
    assert out.trace.expected_std_d()[0] == pytest.approx(1.0)


def test_d_takes_euler_steps_of_its_own_length():
    """d moves by (σ'^lead − σ^lead)·u, x by (σ' − σ)·u, and both end where a constant velocity leads: at −u."""

    class Pipe:
        scheduler = FlowMatchEulerDiscreteScheduler()

    pipe, lead, u = Pipe(), 3.0, torch.full((1, 8, 1, 1, 1), 2.0)
    with leading(pipe, lead, 1):
        scheduler = pipe.scheduler
        scheduler.set_timesteps(4)
        latents = torch.zeros(1, 8, 1, 1, 1)
        for i, timestep in enumerate(scheduler.timesteps):
            latents = scheduler.step(u, timestep, latents, return_dict=False)[0]
            sigma = float(scheduler.sigmas[i + 1])
            assert float(latents[0, 0]) == pytest.approx(2.0 * (sigma - 1), abs=1e-5)
            assert float(latents[0, 4]) == pytest.approx(2.0 * (sigma**lead - 1), abs=1e-5)
    assert pipe.scheduler is Pipe.scheduler
    assert torch.allclose(latents, -u)


def test_the_rule_of_the_lead():
    assert motion_time(0.3, 1.0) == 0.3
    assert motion_time(0.5, 2.0) == pytest.approx(0.75)
    assert (motion_time(0.0, 5.0), motion_time(1.0, 5.0)) == (0.0, 1.0)


def test_null_motion_has_no_level_in_any_branch(own):
    model, seen = load_model(own), []

    def reads(module, args, kwargs, output):
        seen.append((bool(kwargs["hidden_states"][:, 4:8].any()), bool(kwargs["hidden_states"][:, 8].any())))

    model.pipeline.transformer.register_forward_hook(reads, with_kwargs=True)
    inner = Guidance(w_text=0.0, window=Window(end=1.0), lead=2.0)
    out = sample(model, PROMPTS, seeds=3, num_steps=3, guidance=inner, **SIZE)
    # at the first step d is only noise, t_d = 0
    assert sorted(set(seen)) == [(False, False), (True, False), (True, True)]
    assert sum(not d for d, _ in seen) == 3
    seen.clear()
    no_flow = sample(model, PROMPTS, seeds=3, num_steps=3, drop_motion=True, w_text=2.0, **SIZE)
    assert set(seen) == {(False, False)}
    assert out.latents.shape == no_flow.latents.shape == (2, 8, 2, 4, 4)


def test_a_run_trains_it_and_the_record_says_so(recipe_of_own, tmp_path):
    config = TrainConfig.model_validate(recipe_of_own)
    report = train(config)
    assert report.ok
    assert report.max_difference < 1e-5
    folder = config.out / "model"
    assert load_record(folder).motion.noise == "own"
    stock = WanPipeline.from_pretrained(folder)  # the class stays stock
    assert (stock.transformer.config.in_channels, stock.transformer.config.out_channels) == (9, 8)
    assert stock.transformer.patch_embedding.weight[:, 8].abs().max() > 0
    model = load_model(folder)
    ahead = sample(model, PROMPTS, seeds=3, num_steps=3, lead=4, **SIZE)
    level = sample(model, PROMPTS, seeds=3, num_steps=3, **SIZE)
    assert ahead.settings.guidance.lead == 4.0
    assert not torch.allclose(ahead.latents, level.latents)
    same = {**copy.deepcopy(recipe_of_own), "base": str(folder), "out": str(tmp_path / "same")}
    same["motion"]["noise"] = "same"
    with pytest.raises(VideoJamError, match="noise = 'own'"):
        train(TrainConfig.model_validate(same))


@pytest.fixture
def recipe_of_own(tiny_wan, tmp_path):
    return {
        "base": str(tiny_wan),
        "out": str(tmp_path / "run"),
        "data": {
            "source": {
                "kind": "world",
                "num_clips": 4,
                "world": {"num_frames": 9, "pixel_px": 4},
            },
            "cache": str(tmp_path / "cache"),
            "num_heldout": 1,
            "max_sequence_length": 8,
        },
        "motion": {"estimator": "exact", "noise": "own"},
        "optimizer": {"learning_rate": 1e-2},
        "num_steps": 2,
        "batch_size": 2,
        "precision": "fp32",
        "save_dtype": "fp32",
        "validate_t": [0.5],
    }


def test_a_lead_of_a_model_without_it_is_refused(tiny_joints, tiny_wan, own):
    for folder in (tiny_joints["t2v"], tiny_wan):
        model = load_model(folder)
        with pytest.raises(VideoJamError, match="lead = 5") as caught:
            resolve(model, SampleSettings(lead=5))
        assert "motion.noise: own" in caught.value.fix
        assert resolve(model, SampleSettings(lead=1)).guidance.lead == 1
    with pytest.raises(VideoJamError, match="lead"):
        resolve(load_model(own), SampleSettings(lead=2, drop_motion=True))
    for bad in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="lead"):
            SampleSettings(lead=bad)


def test_the_level_does_not_change_a_clips_latents():
    assert OWN.of_latents() == MotionCode(estimator="exact").of_latents()
    assert "noise level of its own" in str(OWN)
