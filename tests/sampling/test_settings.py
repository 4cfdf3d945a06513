"""Settings of a sample: one grammar, what isn't given is filled in, and nothing is ignored."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image

from videojam.errors import VideoJamError
from videojam.guidance.config import Guidance
from videojam.guidance.window import Window
from videojam.keyvalue import apply_pairs, split_pair, value_of
from videojam.models.load import load_model
from videojam.models.record import SamplingDefaults
from videojam.sampling.checks import upright
from videojam.sampling.sample import sample
from videojam.sampling.settings import (
    SampleSettings,
    guidance_of_folder,
    read_settings,
    resolve,
    settings_of,
)

SIZE = {"num_frames": 5, "height": 32, "width": 32, "max_sequence_length": 8, "num_steps": 1}


@pytest.fixture(scope="module")
def models(tiny_wan, tiny_joints):
    return {"base": load_model(tiny_wan), "joint": load_model(tiny_joints["t2v"])}


def test_grammar():
    content = {"optimizer": {"name": "muon"}}
    apply_pairs(
        content, ["optimizer.rate=1e-5", "lora={rank: 4}", "text=no", "seed=010", "x=null", "y=", "w=a=b"]
    )
    assert content["optimizer"] == {"name": "muon", "rate": 1e-5}
    assert content["lora"] == {"rank": 4}
    assert (content["text"], content["seed"], content["x"], content["y"]) == ("no", "010", None, "")
    assert content["w"] == "a=b"
    assert value_of('"[quoted]"') == "[quoted]"
    for bad in ("no equals", "=1"):
        with pytest.raises(VideoJamError, match="key=value"):
            split_pair(bad)
    for bad in ("a=[1,", "optimizer.name.x=1"):
        with pytest.raises(VideoJamError):
            apply_pairs(content, [bad])


@pytest.mark.parametrize(
    ("key", "value"), [("fps", 1e9), ("fps", 1e-320), ("window", "t:0.5-0.5"), ("window", "steps:0-0")]
)
def test_values_without_a_meaning_are_refused_by_their_key(key, value):
    with pytest.raises(VideoJamError, match=key):
        read_settings({key: value})


def test_weights_and_window_of_the_folder_are_taken_and_said(models):
    """What the user gives goes before what the folder has; what nothing would read isn't spoken of."""
    own = SamplingDefaults(w_motion=1.0, window="t:0-0.4", guidance_from="a probe")
    joint = replace(models["joint"], defaults=own)
    words = "w2 1.0, window t:0-0.4: the model's own (videojam_sampling.json, chosen by a probe)"
    assert resolve(joint).guidance.window == Window(unit="t", end=0.4)
    assert guidance_of_folder(joint, SampleSettings()) == words
    given = SampleSettings(w_motion=2.0, window="all")
    assert resolve(joint, given).guidance == Guidance(w_text=5.0, w_motion=2.0, window=Window(end=1.0))
    assert guidance_of_folder(joint, given) is None
    assert "window" not in guidance_of_folder(joint, SampleSettings(preset="paper"))
    assert resolve(joint, SampleSettings(preset="paper")).guidance.window == Window()
    assert guidance_of_folder(joint, SampleSettings(mode="cfg")) is None
    assert guidance_of_folder(models["joint"], SampleSettings()) is None
    with pytest.raises(VideoJamError, match="window"):
        resolve(replace(joint, defaults=SamplingDefaults(window="sometimes")))


def test_text_becomes_what_its_field_is():
    settings = read_settings({"steps": "30", "w_text": "2.5", "window": "t:0-0.4", "negative_prompt": "no"})
    assert (settings.num_steps, settings.w_text, settings.negative_prompt) == (30, 2.5, "no")
    assert settings.window == Window(unit="t", end=0.4)
    assert settings.given == {"num_steps": 30, "w_text": 2.5, "negative_prompt": "no", "window": settings.window,
                              "schedule": "base"}  # fmt: skip
    with pytest.raises(VideoJamError, match="num_steps"):
        read_settings({"num_stepps": "3"})


@pytest.mark.parametrize(
    "content",
    [
        {"fps": "0"},
        {"fps": "nan"},
        {"shift": "-1"},
        {"shift": "0"},
        {"w_motion": "inf"},
        {"w_text": "-1"},
        {"num_steps": "0"},
        {"num_steps": "true"},
        {"window": "t:0-2"},
        {"window": "steps:0-1.5"},
        {"window": "share:nan-1"},
        {"mode": "automatic"},
        {"schedule": "cosine"},
        {"preset": "two-forwards", "window": "half"},
        {"preset": "paper", "reuse_every": "2"},
        {"preset": "three-forwards"},
    ],
    ids=str,
)
def test_values_that_fit_nothing_are_refused(content):
    with pytest.raises(VideoJamError):
        read_settings(content)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("base", {"w_motion": 3.0}),
        ("base", {"window": "all"}),
        ("base", {"preset": "paper"}),
        ("base", {"drop_motion": True}),
        ("base", {"reuse_every": 2}),
        ("base", {"mode": "inner"}),
        ("joint", {"mode": "cfg", "w_motion": 3.0}),
        ("joint", {"mode": "none", "w_text": 2.0}),
        ("joint", {"mode": "cfg", "batched": True}),
        ("joint", {"drop_motion": True, "w_motion": 3.0}),
        ("joint", {"mode": "ip2p", "drop_motion": True}),
    ],
    ids=str,
)
def test_settings_that_nothing_would_read_are_refused(models, kind, content):
    with pytest.raises(VideoJamError):
        resolve(models[kind], read_settings(content))


def test_what_is_not_given_is_filled_in(models):
    joint, base = resolve(models["joint"]), resolve(models["base"])
    assert joint.guidance == Guidance()
    assert base.guidance.mode == "cfg"
    assert resolve(models["joint"], SampleSettings(drop_motion=True)).guidance.mode == "cfg"
    assert (base.num_steps, base.fps) == (50, 16.0)  # Wan's own
    two = resolve(models["joint"], SampleSettings(preset="two-forwards")).guidance
    assert (two.reuse_every, two.window) == (2, Window(end=1.0))
    whole = Guidance(mode="ip2p", w_text=2.0, motion_on="appearance")
    assert resolve(models["joint"], settings_of(None, {"guidance": whole})).guidance == whole


@pytest.mark.parametrize("seed", [-1, 2**63, 99999999999999999999999, True])
def test_seeds_that_torch_does_not_take(models, seed):
    with pytest.raises(VideoJamError, match="seed"):
        sample(models["base"], ["a"], seeds=seed, **SIZE)


def test_clips_that_cannot_fit_are_refused_before_they_are_tried(models, monkeypatch):
    with monkeypatch.context() as small:
        small.setattr("videojam.sampling.checks._free_ram", lambda: 1000)
        with pytest.raises(VideoJamError, match="GiB free"):
            sample(models["base"], ["a"], **SIZE)
    with pytest.raises(VideoJamError, match="height = 64000"):
        sample(models["base"], ["a"], **SIZE | {"height": 64000})


def test_one_frame_of_a_joint_model_is_refused_before_it_is_sampled(models):
    """Its motion is that between two frames."""
    with pytest.raises(VideoJamError, match="two frames or more") as refused:
        sample(models["joint"], ["a"], **SIZE | {"num_frames": 1})
    assert refused.value.fix.startswith("Ask for 5")


def test_a_window_of_the_models_folder_is_named_with_its_file(models):
    own = replace(models["joint"], defaults=models["joint"].defaults.model_copy(update={"window": "never"}))
    with pytest.raises(VideoJamError, match=r"videojam_sampling\.json: window"):
        resolve(own)


def test_text_beyond_the_limit_is_reported_with_what_is_cut(models):
    text = "a red ball moves left and then the green wheel moves right"
    with pytest.warns(UserWarning, match="reads 8 tokens"):
        out = sample(models["base"], [text, "a"], decode=False, **SIZE)
    assert list(out.cut) == [text]
    assert out.cut[text]
    assert out.cut[text].endswith("right") or "<unk>" in out.cut[text]


def test_an_image_is_turned_as_it_is_seen():
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 0, 0))
    exif = image.getexif()
    exif[0x0112] = 6  # the first row is the right side
    path_bytes = __import__("io").BytesIO()
    image.save(path_bytes, format="PNG", exif=exif)
    seen = upright(Image.open(path_bytes))
    assert seen.size == (2, 4)
    assert seen.getpixel((1, 0)) == (255, 0, 0)
    assert upright("not an image") == "not an image"


def test_text_that_is_no_utf_8_is_refused_before_it_is_measured(models):
    for texts, more in (
        (["a cat that is longer than the encoder reads \udcff"], {}),
        (["a"], {"negative_prompt": "\udcff"}),
    ):
        with pytest.raises(VideoJamError, match="whole characters"):
            sample(models["base"], texts, **SIZE, **more)


def test_one_step_of_a_schedule_that_is_stretched_is_refused(models, monkeypatch):
    """Stock divides 1 − σ by (1 − σ_last) / (1 − terminal): 0 by 0 where the only level is σ = 1."""
    model = models["base"]
    scheduler = FlowMatchEulerDiscreteScheduler(shift_terminal=0.1)
    assert np.isnan(scheduler.stretch_shift_to_terminal(np.ones(1))).all()
    monkeypatch.setattr(model.pipeline, "scheduler", scheduler)
    with pytest.raises(VideoJamError, match=r"at 0\.1 \(shift_terminal\)"):
        sample(model, ["a"], **SIZE)


def test_a_first_frame_of_16_bits_keeps_its_greys_and_one_of_32_is_refused():
    """65,535 is white: half of it is mid-grey, and not white, as Pillow's own conversion makes it."""
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 257], [32_896, 65_535]], np.uint16)).save(file, format="PNG")
    assert np.asarray(upright(Image.open(file)))[..., 0].tolist() == [[0, 1], [128, 255]]
    for kind in (np.float32, np.int32):
        with pytest.raises(VideoJamError, match="32 bits"):
            upright(Image.fromarray(np.zeros((2, 2), kind)))


def test_weights_that_are_not_finite_are_named(tiny_wan):
    model = load_model(tiny_wan)
    with torch.no_grad():
        model.pipeline.transformer.proj_out.weight[0] = float("nan")
    with pytest.raises(VideoJamError, match=r"proj_out\.weight of transformer is itself not finite"):
        sample(model, ["a"], decode=False, **SIZE)
