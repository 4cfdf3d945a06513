"""Loading refuses what can't be sampled rightly."""

from __future__ import annotations

import shutil

import pytest
from diffusers import WanPipeline
from PIL import Image

from videojam.errors import VideoJamError
from videojam.guidance.config import Guidance
from videojam.models.load import load_model
from videojam.models.record import RECORD_NAME, SamplingDefaults, load_defaults, save_defaults
from videojam.sampling.sample import sample
from videojam.sampling.settings import resolve

SIZE = {"num_frames": 5, "height": 32, "width": 32, "max_sequence_length": 8, "num_steps": 1}


@pytest.fixture
def joint(tiny_joints, tmp_path):
    return shutil.copytree(tiny_joints["t2v"], tmp_path / "joint")


def test_joint_model_without_its_record(joint):
    (joint / RECORD_NAME).unlink()
    with pytest.raises(VideoJamError, match="motion code is unknown"):
        load_model(joint)


def test_record_beside_a_base(tiny_wan, joint, tmp_path):
    base = shutil.copytree(tiny_wan, tmp_path / "base")
    shutil.copy(joint / RECORD_NAME, base)
    with pytest.raises(VideoJamError, match="a base model"):
        load_model(base)


def test_another_colour_style_than_trained(joint):
    assert load_model(joint, style="value").record.motion.style == "value"
    with pytest.raises(VideoJamError, match="style = 'saturation'"):
        load_model(joint, style="saturation")


def test_one_expert_converted(tiny_bases, tiny_joints, tmp_path):
    mixed = shutil.copytree(tiny_joints["experts"], tmp_path / "mixed")
    shutil.rmtree(mixed / "transformer_2")
    shutil.copytree(tiny_bases["experts"] / "transformer_2", mixed / "transformer_2")
    with pytest.raises(VideoJamError, match="transformer_2: base"):
        load_model(mixed)


def test_missing_and_half_copied_folders(joint, tmp_path):
    with pytest.raises(VideoJamError, match="no such folder"):
        load_model(tmp_path / "nothing")
    shutil.rmtree(joint / "vae")
    with pytest.raises(VideoJamError, match="'vae'"):
        load_model(joint)


def test_bare_transformer_is_not_a_model_to_sample(joint):
    with pytest.raises(VideoJamError, match=r"model_index\.json"):
        load_model(joint / "transformer")


def test_offload_needs_an_accelerator(joint):
    with pytest.raises(VideoJamError, match="accelerator"):
        load_model(joint, offload=True)


@pytest.mark.parametrize("guidance", [Guidance(), Guidance(mode="cfg", drop_motion=True)])
def test_base_has_no_motion_to_guide_with(tiny_wan, guidance):
    with pytest.raises(VideoJamError, match="no motion half"):
        sample(load_model(tiny_wan), ["a"], guidance=guidance, **SIZE)


def test_prompts_and_seeds_must_match(joint):
    model = load_model(joint)
    with pytest.raises(VideoJamError, match="2 seeds"):
        sample(model, ["a", "the"], seeds=[1, 2, 3], **SIZE)
    for prompts in ([], "a red ball"):
        with pytest.raises(VideoJamError, match="list of prompts"):
            sample(model, prompts, **SIZE)


def test_images_go_with_image_to_video_bases_alone(joint, tiny_joints):
    with pytest.raises(VideoJamError, match="an image for a text-to-video base"):
        sample(load_model(joint), ["a"], image=Image.new("RGB", (32, 32)), **SIZE)
    with pytest.raises(VideoJamError, match="no image"):
        sample(load_model(tiny_joints["i2v"]), ["a"], **SIZE)


def test_defaults_come_from_the_folder_then_from_the_base(joint, monkeypatch):
    save_defaults(SamplingDefaults(num_frames=5, height=32, width=48, num_steps=2, w_motion=1.0), joint)
    model = load_model(joint)
    assert resolve(model).guidance == Guidance(w_motion=1.0)
    seen = {}
    own = WanPipeline.__call__

    def spy(self, *args, **kwargs):
        seen.update(kwargs)
        return own(self, *args, **kwargs)

    spy.__signature__ = __import__("inspect").signature(own)
    monkeypatch.setattr(WanPipeline, "__call__", spy)
    out = sample(model, ["a"])
    assert out.video.shape == (1, 5, 3, 32, 48)
    assert (seen["num_inference_steps"], seen["guidance_scale"]) == (2, 6.0)
    assert (seen["negative_prompt"], seen["max_sequence_length"]) == (None, 512)  # the base's own


def test_defaults_travel_with_conversion(tiny_wan, tmp_path):
    from videojam.joint.convert import convert

    base = shutil.copytree(tiny_wan, tmp_path / "base")
    save_defaults(SamplingDefaults(fps=12.0), base)
    assert load_defaults(convert(base, tmp_path / "joint")).fps == 12.0
