"""The study's models as stock folders: their components are exact, and they sample what the study samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from studies.premise.config import load_config
from studies.premise.rules import Rule, Velocity
from studies.premise.testbed import make_testbed
from videojam.joint.latents import join
from videojam.models.load import load_model
from videojam.sampling.request import build_request
from videojam.sampling.sample import decode_halves, sample
from videojam.sampling.settings import SampleSettings, resolve
from videojam.tiny import TINY_NAMES
from videojam.world import captions, to_levels

CONFIG = load_config(Path(__file__).parents[1] / "benchmarks/results/premise/long/config.json")


@pytest.fixture(scope="module")
def bed():
    return make_testbed(CONFIG, torch.device("cpu"))


@pytest.fixture(scope="module")
def joint():
    return load_model("tiny:videojam")


@pytest.fixture(scope="module")
def pixels(bed):
    """Levels of true clips, each pixel of the world 8×8, and their latents in the study."""
    clips = bed.clips(4, torch.Generator().manual_seed(0))
    levels = to_levels(clips.x)
    x = (levels.float() - 128) / 40 / (CONFIG.world.texture * (1 - 4 / 64 / 3) + 4 / 64 / 3 * 4.09) ** 0.5
    return levels.repeat_interleave(8, 3).repeat_interleave(8, 4), x


def test_a_caption_is_the_studys_word_vectors_and_no_prompt_is_zeros(bed, joint):
    texts = joint.family.encode_prompts(joint.pipeline, [*captions(CONFIG.world), ""], 4)
    assert torch.allclose(texts["encoder_hidden_states"], bed.texts, atol=1e-5)
    unknown = joint.family.encode_prompts(joint.pipeline, ["a red ball"], 4)
    assert not unknown["encoder_hidden_states"].any()


def test_the_autoencoder_keeps_every_level_of_six_frames(joint, pixels):
    levels, x = pixels
    z = joint.family.encode_video(joint.pipeline, levels.float() / 127.5 - 1)
    assert z.shape == (4, 3, 6, 8, 8)
    assert torch.allclose(z, x, atol=1e-4)
    back = joint.family.decode_video(joint.pipeline, z)
    assert torch.equal(((back + 1) * 127.5).round().to(torch.uint8), levels)


def test_the_motion_half_is_read_without_its_gain(joint, pixels):
    levels, x = pixels
    assert joint.record.motion.gain == 0.4
    video, motion, _ = decode_halves(joint, join(x, 0.4 * x.flip(0)))
    assert torch.equal(video.movedim(1, 2), levels)
    assert torch.equal(motion.movedim(1, 2), levels.flip(0))


@pytest.mark.parametrize("name", TINY_NAMES)
def test_it_samples_what_the_study_samples(name, bed, joint):
    model = joint if name == "videojam" else load_model(f"tiny:{name}")
    prompts = captions(CONFIG.world)[1:3]
    settings = resolve(model, SampleSettings())
    latents = build_request(model, prompts, 7, settings).noise
    rule = Rule(w_motion=2.0) if model.is_joint else Rule()
    velocity = Velocity(model.pipeline.transformer, rule, bed.texts[1:3], bed.texts[-1], None)
    for step in range(30):
        latents = latents - velocity(latents, step / 30, step).detach() / 30
    everywhere = {"window": "all"} if model.is_joint else {}  # as the study's primary contrast
    output = sample(model, prompts, seeds=7, decode=False, **everywhere)
    assert settings.num_steps == 30
    assert torch.allclose(output.latents, latents, atol=2e-3)
