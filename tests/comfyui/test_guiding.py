"""The guider's arithmetic: that of `videojam.guidance`, on what ComfyUI's model returns."""

from __future__ import annotations

import sys
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import pytest
import torch

from videojam.guidance.config import Guidance
from videojam.guidance.rules.cfg import cfg
from videojam.guidance.rules.inner import inner_guidance
from videojam.guidance.window import Window
from videojam.sampling.request import draw_noise
from videojam.sampling.sample import sample, scheduled

SHAPE = (1, 8, 2, 3, 4)
SCHEDULE = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])


def dyadic(seed: int) -> torch.Tensor:
    """Numbers k/16 of a few bits, with which sums, differences and products below are exact."""
    return torch.randint(-64, 65, SHAPE, generator=torch.Generator().manual_seed(seed)) / 16


class Known:
    """A model that predicts known velocities: x0 = x − σ·u, another u where the motion half of x is null."""

    def __init__(self, sigma: float) -> None:
        self.sigma, self.asked = sigma, []
        self.u = {"positive": dyadic(1), "negative": dyadic(2), "null motion": dyadic(3)}

    def __call__(self, latents, names):
        is_null = not latents[:, 4:].any()
        self.asked.append("null motion" if is_null else "+".join(names))
        return [latents - self.sigma * self.u["null motion" if is_null else name] for name in names]


@pytest.mark.parametrize("motion_on", ["both", "appearance"])
@pytest.mark.parametrize("sigma", [1.0, 0.5, 0.25])
def test_a_step_is_eq_8_bit_for_bit(guiding, motion_on, sigma):
    model, x = Known(sigma), dyadic(4)
    config = Guidance(w_text=5.0, w_motion=3.0, motion_on=motion_on, window=Window(end=1.0))
    found = guiding.GuidedSteps(config, 4, SCHEDULE).predict(model, x, sigma)
    u = model.u
    guided = inner_guidance(u["positive"], u["negative"], u["null motion"], 5.0, 3.0)
    if motion_on == "appearance":
        guided = torch.cat([guided[:, :4], cfg(u["positive"], u["negative"], 5.0)[:, 4:]], dim=1)
    assert torch.equal(found, x - sigma * guided)
    assert model.asked == ["positive+negative", "null motion"]


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"w_motion": 0.0}, ["positive+negative"]),
        ({"w_text": 0.0}, ["positive", "null motion"]),
        ({"window": Window(start=0.5, end=1.0)}, ["positive+negative"]),
    ],
)
def test_what_no_weight_and_no_window_needs_is_not_asked(guiding, changes, asked):
    model = Known(1.0)
    guiding.GuidedSteps(Guidance(**changes), 4, SCHEDULE).predict(model, dyadic(4), 1.0)
    assert model.asked == asked


@pytest.mark.parametrize(
    ("window", "inside"),
    [
        ("half", [True, True, False, False]),
        ("all", [True] * 4),
        ("t:0-0.3", [True, True, False, False]),
        ("t:0.2-0.6", [False, True, True, False]),
        ("steps:3-4", [False, False, False, True]),
    ],
)
def test_the_window_is_that_of_the_command_line(guiding, window, inside):
    """t = 1 − σ at the start of a step: 0, 0.25, 0.5, 0.75; a question within a step belongs to it."""
    steps = guiding.GuidedSteps(Guidance(window=window), 4, SCHEDULE)
    for step, (sigma, is_inside) in enumerate(zip(SCHEDULE[:-1].tolist(), inside, strict=True)):
        for asked_at in (sigma, sigma - 0.1):  # Heun's second question
            model = Known(asked_at)
            assert steps.step_of(asked_at) == step
            steps.predict(model, dyadic(4), asked_at)
            assert ("null motion" in model.asked) == is_inside


def test_reuse_asks_once_on_every_other_step_and_twice_of_the_same_step_alike(guiding):
    steps = guiding.GuidedSteps(Guidance(reuse_every=2, window="all"), 4, SCHEDULE)
    counts = []
    for sigma in (1.0, 0.875, 0.75, 0.625, 0.5, 0.25):
        model = Known(sigma)
        steps.predict(model, dyadic(4), sigma)
        counts.append(len(model.asked))
    assert counts == [2, 2, 1, 1, 2, 1]


# --- the nodes under a stand-in for ComfyUI's sampler, on a real transformer ---


class CFGGuider:
    """Stands in for ComfyUI's: what a guider of a node pack overrides, around Euler's method."""

    def __init__(self, model) -> None:
        self.inner_model = model.model

    def set_conds(self, positive, negative):
        self.conds = {"positive": positive, "negative": negative}

    def sample(self, noise, latent_image, sampler, sigmas):
        x = sigmas[0] * noise + (1 - sigmas[0]) * latent_image
        for sigma, after in pairwise(sigmas):
            clean = self.predict_noise(x, sigma.expand(len(x)))
            x = x + (x - clean) / sigma * (after - sigma)
        return x


@pytest.fixture
def comfy(monkeypatch, guiding):
    """Stand-ins for the modules of ComfyUI that the guider asks."""
    comfy, samplers = ModuleType("comfy"), ModuleType("comfy.samplers")
    comfy.samplers, samplers.CFGGuider = samplers, CFGGuider
    samplers.calc_cond_batch = lambda model, conds, x, sigma, options: [
        x - sigma[0] * model(x, sigma, cond) for cond in conds
    ]
    monkeypatch.setitem(sys.modules, "comfy", comfy)
    monkeypatch.setitem(sys.modules, "comfy.samplers", samplers)
    guiding.guider_class.cache_clear()
    yield comfy
    guiding.guider_class.cache_clear()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"motion_on": "appearance"},
        {"window": "t:0-0.5"},
        {"reuse_every": 2, "window": "all"},
        {"w_text": 0.0},
        {"w_motion": 0.0},
    ],
    ids=str,
)
def test_latents_are_those_of_generate(pack, latents, comfy, trained_joint, changes):
    """From the same noise, schedule and weights; x0 and back cost rounding only."""
    asked = {
        "w_text": 2.0,
        "w_motion": 1.5,
        "window": "half",
        "motion_on": "both",
        "reuse_every": 1,
    } | changes
    size = {"num_frames": 9, "height": 32, "width": 32}
    family, pipe = trained_joint.family, trained_joint.pipeline
    prompts = ["a red ball moves left", ""]
    expected = sample(
        trained_joint, prompts[:1], seeds=5, decode=False, num_steps=4, max_sequence_length=8, **size, **asked
    ).latents
    noise = draw_noise(trained_joint, [5], **size)
    with scheduled(pipe, "base", None):
        family.set_timesteps(pipe, 4, noise)
        sigmas = pipe.scheduler.sigmas.clone()
    rows = family.encode_prompts(pipe, prompts, 8)["encoder_hidden_states"].split(1)

    @torch.no_grad()
    def network(x, sigma, text):
        return family.denoise(pipe.transformer, x, sigma, {"encoder_hidden_states": text})

    form = latents.JointFormat(SimpleNamespace(latent_channels=4, latent_rgb_factors=None))
    model = SimpleNamespace(model=network, get_model_object={"latent_format": form}.get)
    (guider,) = pack.NODE_CLASS_MAPPINGS["VideoJAMInnerGuidance"]().guide(model, *rows, **asked)
    found = guider.sample(noise, torch.zeros_like(noise), None, sigmas)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * float(expected.std()))
