"""Validation clips: the base's, the model's and its motion side by side, while a run goes on."""

from __future__ import annotations

import io
import json
import signal

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from videojam.data.encoded import EncodedData
from videojam.errors import VideoJamError
from videojam.models.encoders import StoredEncoders
from videojam.models.load import load_model
from videojam.models.texts_apart import TextsApart
from videojam.motion.video import read_video
from videojam.sampling.sample import sample
from videojam.training.checkpoint import checkpoints
from videojam.training.config import TrainConfig
from videojam.training.run import train
from videojam.training.samples_plan import plan_samples
from videojam.training.speed import TIMES

SETTINGS = {"num_steps": 2, "w_text": 2.0, "w_motion": 1.0}
PROMPT = "a red ball moves left"


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def sampled(lora_run):
    """The run of `lora_run` again, with validation clips; stopped while step 2's are sampled, and begun again."""
    recipe = json.loads((lora_run / "run.json").read_text())["config"]
    recipe |= {"out": str(lora_run.parent / "sampled"), "checkpoint_every": 100}
    recipe |= {"samples": {"every": 2, "prompts": [PROMPT], "seed": 7, "settings": SETTINGS}}
    config = TrainConfig.model_validate(recipe)

    def interrupt(kind, content):
        if kind == "line" and content.get("step") == 2 and "loss" in content:
            signal.raise_signal(signal.SIGINT)

    def kill_at_export(kind, content):
        if kind == "note" and content.startswith("writing"):
            raise KilledError

    with pytest.raises(KeyboardInterrupt):
        train(config, listen=interrupt)
    assert [folder.name for folder in checkpoints(config.out)] == ["step_00000002"]
    assert not (config.out / "samples" / "step_00000002").exists()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TextsApart, "_loaded", lambda self: pytest.fail("a text encoder was loaded again"))
        with pytest.raises(KilledError):
            train(config, listen=kill_at_export)
    return config.out


def test_numbers_are_those_of_a_run_without_clips_bit_for_bit(sampled, lora_run):
    one, two = (
        load_file(next((out / "checkpoints" / "step_00000004").glob("*.safetensors")))
        for out in (lora_run, sampled)
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    logs = [
        [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in text.splitlines()]
        for text in ((out / "log.jsonl").read_text() for out in (lora_run, sampled))
    ]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("step", [2, 4])
def test_base_model_and_motion_stand_side_by_side_in_one_file(sampled, step):
    folder = sampled / "samples" / f"step_{step:08d}"
    about = json.loads((folder / "samples.json").read_text())
    assert (about["step"], about["columns"]) == (step, ["base", "model", "motion"])
    assert about["clips"] == [{"file": "000_a-red-ball-moves-left.mp4", "prompt": PROMPT, "seed": 7}]
    assert about["settings"]["guidance"]["w_motion"] == 1.0
    clip = read_video(folder / "000_a-red-ball-moves-left.mp4")
    assert clip.frames.shape == (9, 3, 32, 3 * 32)  # the size of the training clips
    base, model, _ = clip.frames.float().split(32, dim=3)
    assert (base - model).abs().mean() > 0  # four steps at a large rate


def test_the_bases_clip_is_the_bases_own_from_the_same_noise(sampled, tiny_wan):
    (path,) = (sampled / "samples").glob("base-*.safetensors")
    output = sample(
        load_model(tiny_wan), [PROMPT], seeds=7, num_frames=9, height=32, width=32, num_steps=2,
        max_sequence_length=16, w_text=2.0,
    )  # fmt: skip
    assert torch.allclose(load_file(path)["0"], output.latents[0], atol=1e-4)
    shown = read_video(sampled / "samples" / "step_00000004" / "000_a-red-ball-moves-left.mp4").frames
    assert (shown[..., :32].float() - output.video[0].float()).abs().mean() < 12  # an mp4's loss, on noise


def test_tensorboard_plays_them(sampled):
    events = (
        EventAccumulator(str(sampled / "tensorboard")).Reload().Images("samples/000_a-red-ball-moves-left")
    )
    assert [event.step for event in events] == [2, 4]
    with Image.open(io.BytesIO(events[-1].encoded_image_string)) as picture:
        assert (picture.format, picture.size, picture.n_frames) == ("GIF", (96, 32), 9)


def test_settings_that_cannot_be_sampled_are_refused_when_the_run_starts(recipe, tmp_path):
    def starting(**samples):
        config = TrainConfig.model_validate(recipe | {"samples": {"prompts": ["a"], **samples}})
        plan_samples(config, StoredEncoders(config.base), "transformer", EncodedData([], {}))

    with pytest.raises(VideoJamError, match=r"samples\.images") as caught:
        starting(images=[str(tmp_path / "none.png")])
    assert "no such file" in caught.value.found
    Image.new("RGB", (32, 32)).save(tmp_path / "one.png")
    with pytest.raises(VideoJamError, match="the base takes none"):
        starting(images=[str(tmp_path / "one.png")])
    with pytest.raises(VideoJamError, match="settings that guidance cfg reads"):
        starting(settings={"mode": "cfg", "w_motion": 2.0})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": {"prompts": ["a", "b"], "images": ["x.png"]}}, "1 files, and samples.prompts 2 texts"),
        ({"samples": {"settings": {"mode": "auto"}}}, "needs a second model"),
        ({"samples": {}, "expert": "transformer_2"}, "only one is in memory"),
        ({"samples": {"every": 0}}, "samples.every"),
    ],
)
def test_recipes_that_do_not_fit_together_are_refused(recipe, change, words):
    with pytest.raises(ValidationError, match=words):
        TrainConfig.model_validate(recipe | change)
