"""Going on with a run: damaged files are passed over aloud, another recipe or other clips are refused by name."""

from __future__ import annotations

import copy
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from videojam.data.encoded import EncodedClip
from videojam.errors import VideoJamError
from videojam.locks import locked
from videojam.training.checkpoint import checkpoints
from videojam.training.config import TrainConfig
from videojam.training.log import Log
from videojam.training.resume import check_resume, record_clips
from videojam.training.run import train

LAST = "step_00000004"
SHARD = "shard-00001-model-00001-of-00001.safetensors"


@pytest.fixture(scope="module")
def done(short_recipe, tmp_path_factory):
    """A finished run of four steps with checkpoints of steps 2 and 4, and its recipe."""
    folder = tmp_path_factory.mktemp("done")
    content = short_recipe(folder / "cache") | {"out": str(folder / "run")}
    train(TrainConfig.model_validate(content))
    return content


@pytest.fixture
def moved(done, tmp_path):
    """A copy of the run under another name, with the recipe that names it."""
    shutil.copytree(done["out"], tmp_path / "renamed")
    return copy.deepcopy(done) | {"out": str(tmp_path / "renamed")}


def out_of(recipe) -> Path:
    return Path(recipe["out"])


def notes_of(recipe):
    notes = []
    train(
        TrainConfig.model_validate(recipe),
        listen=lambda kind, text: notes.append(text) if kind == "note" else 0,
    )
    return "\n".join(notes)


def weights(out):
    return load_file(out / "model" / "transformer" / "diffusion_pytorch_model.safetensors")


def test_a_renamed_run_with_a_damaged_checkpoint_and_a_torn_log_goes_on_to_the_same_weights(moved, done):
    out = out_of(moved)
    (out / "checkpoints" / LAST / "state.json").write_text("")
    log = out / "log.jsonl"
    log.write_text(log.read_text()[:-20])
    (out / "checkpoints" / ".step_00000006.tmp-1").mkdir()
    notes = notes_of(moved)
    assert "resuming from step_00000002" in notes
    assert f"{LAST} is damaged, and kept as damaged_{LAST}" in notes
    assert "1 unreadable lines" in notes
    assert {p.name for p in (out / "checkpoints").iterdir()} == {"step_00000002", LAST, f"damaged_{LAST}"}
    assert all(torch.equal(tensor, weights(out_of(done))[name]) for name, tensor in weights(out).items())
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == [0, 1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("state.json", b"{"),
        ("state.json", b"[]"),
        ("state.json", b'{"step": "4"}'),
        ("state.json", b"\xff\x00"),
        ("state.json", None),
        (SHARD, b""),
        (SHARD, b"x" * 99),
        (SHARD, None),
    ],
)
def test_without_a_whole_checkpoint_the_damaged_one_is_named(moved, file, content):
    out = out_of(moved)
    shutil.rmtree(out / "checkpoints" / "step_00000002")
    path = out / "checkpoints" / LAST / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(VideoJamError, match="whole checkpoint") as caught:
        train(TrainConfig.model_validate(moved))
    assert LAST in caught.value.where
    assert (out / "checkpoints" / LAST).is_dir()


def test_fewer_steps_than_are_done_are_refused(moved):
    before = (out_of(moved) / "run.json").read_text()
    with pytest.raises(VideoJamError, match="at least 4, the steps that this run has done"):
        train(TrainConfig.model_validate(moved | {"num_steps": 3}))
    assert (out_of(moved) / "run.json").read_text() == before
    check_resume(TrainConfig.model_validate(moved | {"num_steps": 4}))


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"seed": 1}, "seed"),
        ({"method": "plain"}, "method"),
        ({"batch_size": 1}, "batch_size"),
        ({"motion": {"estimator": "exact"}}, "motion.scale"),
        ({"log_every": 3}, None),
        ({"save_dtype": "fp32"}, None),
    ],
)
def test_what_may_change_on_resume(done, change, refused):
    config = TrainConfig.model_validate(done | change)
    if refused is None:
        check_resume(config)
    else:
        with pytest.raises(VideoJamError, match=refused):
            check_resume(config)


def test_a_renamed_cache_and_clip_folder_may_change(done):
    data = done["data"] | {"cache": "elsewhere"}
    check_resume(TrainConfig.model_validate(done | {"data": data}))


def test_other_clips_are_refused_by_name(moved):
    moved["data"]["source"]["num_clips"] = 6
    state = out_of(moved) / "checkpoints" / LAST / "state.json"
    content = json.loads(state.read_text())
    content["config"]["data"]["source"]["num_clips"] = 6  # as for a folder, whose recipe stays the same
    state.write_text(json.dumps(content))
    with pytest.raises(VideoJamError, match=r"the 5 clips that this run began with.*with world seed 5"):
        train(TrainConfig.model_validate(moved))


@pytest.mark.parametrize(
    ("now", "found"),
    [("abcd", None), ("abc", "without clip d"), ("abcde", "with clip e"), ("abxd", "without clip c")],
)
def test_clips_are_compared_by_content(tmp_path, now, found):
    def clips(keys):
        return [EncodedClip(f"clip {key}", "a caption", tmp_path / f"{key}.safetensors") for key in keys]

    record_clips(tmp_path, clips("abc"), clips("d"), resumed=False)
    if found is None:
        record_clips(tmp_path, clips("abc"), clips("d"), resumed=True)
        with pytest.raises(VideoJamError, match="another held-out part"):
            record_clips(tmp_path, clips("abd"), clips("c"), resumed=True)
    else:
        with pytest.raises(VideoJamError, match=found):
            record_clips(tmp_path, clips(now[:-1]), clips(now[-1]), resumed=True)
    (tmp_path / "clips.json").write_text("{")
    with pytest.raises(VideoJamError, match="list of this run's clips"):
        record_clips(tmp_path, clips("abc"), clips("d"), resumed=True)


@pytest.mark.parametrize("tail", ['{"step": 3', "null\n", "[1]\n", '{"step": "3"}\n', "\x00\x00", "{}\n"])
def test_a_torn_log_keeps_its_whole_lines(tmp_path, tail):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 9}\n' + tail)
    log = Log(path, 2)
    assert log.num_torn == 1
    log.write({"step": 3})
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3}\n'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_at_hand_and_the_run_goes_on_to_the_same_weights(done, tmp_path, number):
    class Terminated(KeyboardInterrupt):
        pass

    def terminate(number, frame):
        raise Terminated

    recipe = TrainConfig.model_validate(done | {"out": str(tmp_path / "run"), "checkpoint_every": 100})

    def interrupt(kind, content):
        if kind == "line" and content.get("step") == 1 and "loss" in content:
            signal.raise_signal(number)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(recipe, listen=interrupt)
        assert signal.getsignal(signal.SIGTERM) is terminate
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [folder.name for folder in checkpoints(recipe.out)] == ["step_00000002"]
    assert not (recipe.out / "model").exists()
    train(TrainConfig.model_validate(done | {"out": str(tmp_path / "run"), "checkpoint_every": 100}))
    assert all(
        torch.equal(tensor, weights(out_of(done))[name]) for name, tensor in weights(recipe.out).items()
    )


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_live_process_that_is_stopped_saves_and_says_how_to_go_on(done, tmp_path, sent, code):
    out, file = tmp_path / "run", tmp_path / "recipe.yaml"
    content = TrainConfig.model_validate(done | {"out": str(out), "checkpoint_every": 1000, "num_steps": 500})
    file.write_text(yaml.safe_dump(content.model_dump(mode="json")))
    words = [sys.executable, "-c", "from videojam.cli import run; run()", "train", str(file)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not (out / "log.jsonl").exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(sent)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == code, said
    saved = checkpoints(out)[0]
    assert f"Stopped. Saved in {saved}. The same command goes on from there." in said
    assert not (out / "model").exists()
    step = int(saved.name.removeprefix("step_"))
    again = subprocess.run([*words, f"num_steps={step + 1}"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"resuming from {saved.name}" in again.stderr


def test_a_second_run_in_the_same_folder_is_refused(moved):
    with locked(out_of(moved)), pytest.raises(VideoJamError, match="no other run writes to"):
        train(TrainConfig.model_validate(moved))


def test_a_refused_run_leaves_no_folder(done, tmp_path):
    content = done | {"out": str(tmp_path / "a" / "run"), "lora": {"target_modules": ["foo"]}}
    content["data"] = done["data"] | {"cache": str(tmp_path / "cache")}
    with pytest.raises(VideoJamError, match="'foo', which the name of no linear layer") as caught:
        train(TrainConfig.model_validate(content))
    assert caught.value.where == "lora.target_modules"
    assert list(tmp_path.iterdir()) == []
