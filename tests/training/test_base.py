"""What a run takes from its base: the motion code of a joint one, and nothing of one whose weights or cache are NaN."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from videojam.data.cache import read_encoded, write_encoded
from videojam.data.encoded import EncodedClip
from videojam.errors import VideoJamError
from videojam.joint.convert import convert
from videojam.models.load import load_model
from videojam.models.stream import is_finite
from videojam.motion.code import MotionCode
from videojam.motion.video import write_video
from videojam.training.config import TrainConfig
from videojam.training.finite import check_finite_weights
from videojam.training.lora import add_adapters, check_targets
from videojam.training.recipe import load_recipe
from videojam.training.run import train, with_motion_of_base

ROOT = Path(__file__).parents[2]
CODE = MotionCode(estimator="dis", scale=0.07, curve="sqrt", padding="last")


@pytest.fixture(scope="module")
def joint(tiny_wan, tmp_path_factory):
    return convert(tiny_wan, tmp_path_factory.mktemp("joint") / "wan", motion=CODE)


@pytest.mark.parametrize("motion", [None, {}, {"scale": 0.07}, CODE.model_dump()], ids=str)
def test_motion_left_out_is_that_of_the_joint_base(recipe, joint, motion):
    content = recipe | {"base": str(joint)}
    del content["motion"]
    content |= {} if motion is None else {"motion": motion}
    assert with_motion_of_base(TrainConfig.model_validate(content)).motion == CODE


@pytest.mark.parametrize(
    ("motion", "name"),
    [({"curve": "linear"}, "curve"), ({"scale": 0.15}, "scale"), ({"style": "saturation"}, "style")],
)
def test_motion_that_contradicts_the_joint_base_is_refused_by_name(recipe, joint, motion, name):
    config = TrainConfig.model_validate(recipe | {"base": str(joint), "motion": motion})
    with pytest.raises(VideoJamError, match=f"{name} = .*which the model was trained with"):
        train(config)
    assert not config.out.exists()


def test_an_unconverted_base_has_the_recipes_motion(recipe):
    config = TrainConfig.model_validate(recipe)
    assert with_motion_of_base(config) == config


def test_the_recipe_for_a_folder_trains_on_five_clips(tiny_wan, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    for i in range(5):
        frames = torch.randint(0, 256, (9, 3, 40, 40), dtype=torch.uint8)
        write_video(clips / f"{i}.mp4", frames, 16)
        (clips / f"{i}.txt").write_text("noise")
    smaller = {"data.source.num_frames": 9, "data.source.height": 32, "data.source.width": 32, "num_steps": 1}
    here = {
        "base": tiny_wan,
        "data.source.path": clips,
        "data.cache": tmp_path / "cache",
        "out": tmp_path / "run",
    }
    changes = here | smaller | {"motion.estimator": "dis", "data.max_sequence_length": 16}
    config = load_recipe(
        ROOT / "recipes" / "folder.yaml", [f"{key}={value}" for key, value in changes.items()]
    )
    notes = []
    report = train(config, listen=lambda kind, text: notes.append(text) if kind == "note" else None)
    assert report.ok
    assert "4 clips for training, 1 held out, 0 left out" in notes
    assert any("was not converted yet" in note for note in notes)


def test_adapters_start_from_the_recipes_seed_whatever_was_drawn_before(recipe, tiny_wan):
    def start(seed, drawn):
        torch.rand(drawn)
        transformer = load_model(tiny_wan).pipeline.transformer
        add_adapters(transformer, TrainConfig.model_validate(recipe | {"lora": {"rank": 2}}).lora, seed)
        return transformer.state_dict()["blocks.0.attn1.to_q.lora_A.default.weight"]

    assert torch.equal(start(0, 1), start(0, 5))
    assert not torch.equal(start(0, 1), start(1, 1))


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_a_base_with_nan_weights_is_refused_before_training(tiny_wan, part):
    components = dict(load_model(tiny_wan).pipeline.components)
    check_finite_weights(components, "base")
    name, tensor = next((n, t) for n, t in components[part].state_dict().items() if t.is_floating_point())
    tensor.view(-1)[-1] = float("nan")
    with pytest.raises(VideoJamError, match="finite weights") as caught:
        check_finite_weights(components, "base")
    assert caught.value.where == f"base: base, {part}"
    assert name in caught.value.found


@pytest.mark.parametrize(
    ("values", "finite"),
    [
        ([0.0, 1.0], True),
        ([float("nan"), 1.0], False),
        ([1.0, float("-inf")], False),
        ([], True),
        ([3e38, -3e38], True),
        ([65504.0, float("inf")], False),
    ],
)
def test_finite(values, finite):
    assert is_finite(torch.tensor(values)) is finite


@pytest.mark.parametrize("key", ["x", "d", "text.encoder_hidden_states"])
def test_nan_in_the_cache_names_the_clip_and_not_the_learning_rate(recipe, monkeypatch, key):
    from videojam.training import start

    real = start.prepare

    def spoiled(*args, **kwargs):
        data = real(*args, **kwargs)
        for clip in data.clips:  # a file of its own: the cache is shared between tests
            tensors = read_encoded(clip.path)
            tensors[key] = torch.full_like(tensors[key], float("nan"))
            write_encoded(folder / clip.path.name, tensors, {})
        data.clips[:] = [EncodedClip(c.name, c.caption, folder / c.path.name) for c in data.clips]
        return data

    config = TrainConfig.model_validate(recipe)
    folder = config.out.parent
    monkeypatch.setattr(start, "prepare", spoiled)
    with pytest.raises(VideoJamError, match="finite latents and text in the cache") as caught:
        train(config)
    assert "world seed" in caught.value.where
    assert key in caught.value.found
    assert "learning_rate" not in caught.value.fix


@pytest.mark.parametrize(
    ("targets", "refused"),
    [
        (["to_q"], None),
        (["to_out.0"], None),
        (["blocks.0.attn1.to_q"], None),
        (["ffn.net.2", "to_k"], None),
        (["foo"], "foo"),
        (["to_q", "foo"], "foo"),
        (["blocks"], "blocks"),
        (["o_q"], "o_q"),
        (["norm2"], "norm2"),
        ([".*"], r"\.\*"),
        ([""], "''"),
    ],
    ids=str,
)
def test_layers_of_adapters(recipe, tiny_wan, targets, refused):
    model = load_model(tiny_wan)
    transformer = model.pipeline.transformer
    lora = TrainConfig.model_validate(recipe | {"lora": {"target_modules": targets}}).lora
    if refused is None:
        check_targets(transformer, lora, model.family)
        return
    with pytest.raises(VideoJamError, match=refused) as caught:
        check_targets(transformer, lora, model.family)
    assert caught.value.where == "lora.target_modules"
