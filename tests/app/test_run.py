"""What lies behind the page: fields, models, one run at a time, clips on the disk."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
import torch

from videojam.app import run as app_run
from videojam.app.clips import Clips, clear_abandoned, temporary_clips
from videojam.app.html import error_html, run_html
from videojam.app.models import NamedModel, defaults_of, examples_for, parse_sources
from videojam.app.run import Engine, Progress, StoppedError, duration, read_fields
from videojam.bench.presets import demo_sources
from videojam.errors import VideoJamError
from videojam.models.load import load_model
from videojam.motion.video import probe_video

FIELDS = {
    "w_text": 1.0,
    "w_motion": 2.0,
    "window": "half",
    "num_steps": 2,
    "num_frames": 5,
    "height": 32,
    "width": 48,
}


@pytest.fixture(scope="module")
def models(tiny_bases, tiny_joints):
    """A base and a joint model of random weights."""
    return [
        NamedModel("base", load_model(tiny_bases["t2v"])),
        NamedModel("joint", load_model(tiny_joints["t2v"])),
    ]


@pytest.fixture
def engine(models, tmp_path):
    return Engine(models, Clips(tmp_path))


@pytest.fixture
def bases(models, tmp_path):
    """One base under two names, of which no motion is drawn."""
    return Engine([models[0], NamedModel("again", models[0].loaded)], Clips(tmp_path))


def everything(engine, asked, hear=lambda _: None, stop=None):
    """Return the runs that came, and the error that ended them."""
    runs = []
    try:
        for run in engine.run(asked, hear, stop or threading.Event()):
            runs += [run]
    except (StoppedError, VideoJamError) as error:
        return runs, error
    return runs, None


def test_a_run_has_a_clip_of_each_model_and_the_joint_models_motion(engine, tmp_path):
    heard: list[Progress] = []
    runs = list(engine.run(read_fields("a <b>cat</b>", 3, **FIELDS), heard.append, threading.Event()))
    assert [[one.model for one in run.made] for run in runs] == [["base"], ["base", "joint"]]
    last = runs[-1]
    assert [[how for how, _ in one.motion] for one in last.made] == [[], ["colours", "arrows", "trails"]]
    for name in last.files:
        info = probe_video(engine.clips.find(name))
        assert info.num_frames == 5
    assert (info.height, info.width) == (8 * 32, 8 * 48)  # trails are drawn where they have room
    assert [(p.model, p.step) for p in heard] == [(name, i) for name in ("base", "joint") for i in range(3)]
    assert heard[2].share == 0.5
    assert heard[0].left_s is None
    assert heard[-1].left_s == 0
    assert last.asked.fields == {"prompt": "a <b>cat</b>", "seed": 3, **FIELDS}
    page = run_html(last, engine.models)
    assert "a &lt;b&gt;cat" in page
    assert "<b>cat" not in page
    engine.clips.remove(last.files)
    assert [path.name for path in tmp_path.iterdir()] == []
    assert engine.clips.find(last.files[0]) is None


def test_the_same_noise_and_settings_as_videojam_generate(engine, models):
    """The page's clip of a base is that of `sample` with the base's part of the settings."""
    from videojam.sampling.sample import sample

    asked = read_fields("a cat", 5, **FIELDS)
    settings = models[0].settings(asked.settings)
    assert settings.given.keys().isdisjoint({"w_motion", "window"})
    expected = sample(models[0].loaded, ["a cat"], settings, seeds=5).video[0]
    again = sample(models[0].loaded, ["a cat"], w_text=1.0, steps=2, frames=5, height=32, width=48, seeds=5)
    assert torch.equal(again.video[0], expected)


def test_a_run_stops_at_the_next_step_and_the_next_one_runs(bases):
    stop, asked = threading.Event(), read_fields("a cat", 0, **FIELDS)

    def hear(progress: Progress) -> None:
        if progress.model == "again" and progress.step == 1:
            stop.set()

    runs, error = everything(bases, asked, hear, stop)
    assert isinstance(error, StoppedError)
    assert [one.model for one in runs[-1].made] == ["base"]
    assert len(everything(bases, asked)[0]) == 2


def test_out_of_memory_is_a_message_and_the_next_run_works(bases, monkeypatch):
    real, calls = app_run.sample, []

    def full(*arguments, **more):
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return real(*arguments, **more)

    monkeypatch.setattr(app_run, "sample", full)
    asked = read_fields("a cat", 0, **FIELDS)
    runs, error = everything(bases, asked)
    assert [one.model for one in runs[-1].made] == ["base"]  # what is made stays
    message = error_html(error)
    assert "20.00 GiB" in message
    assert "Lower the frames, the width or the height" in message
    assert len(everything(bases, asked)[0]) == 2


def test_a_size_beyond_the_model_is_refused_before_anything_runs(bases):
    asked = read_fields("a cat", 0, **{**FIELDS, "height": 2**16, "width": 2**16, "num_frames": 401})
    runs, error = everything(bases, asked)
    assert runs == []
    assert isinstance(error, VideoJamError)
    assert "positions" in str(error)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"prompt": ""}, "a prompt"),
        ({"prompt": None}, "a prompt"),
        ({"prompt": {"path": "/etc/passwd"}}, "a prompt"),
        ({"prompt": "a" * 2001}, "2000 characters"),
        ({"seed": -1}, "whole number"),
        ({"seed": 1.5}, "whole number"),
        ({"seed": "1"}, "whole number"),
        ({"seed": float("nan")}, "whole number"),
        ({"seed": 2**31}, "whole number"),
        ({"num_steps": 201}, "200 steps"),
        ({"num_steps": 0}, "num_steps"),
        ({"num_frames": 2.5}, "num_frames"),
        ({"w_text": float("inf")}, "w_text"),
        ({"w_motion": "much"}, "w_motion"),
        ({"window": "soon"}, "window"),
        ({"window": ["half"]}, "window"),
        ({"height": True}, "height"),
    ],
)
def test_what_the_page_can_not_have_sent_is_refused(changed, match):
    with pytest.raises(VideoJamError, match=match):
        read_fields(**{"prompt": "a cat", "seed": 0, **FIELDS, **changed})


def test_models_by_name(tmp_path):
    assert parse_sources([]) == demo_sources()
    assert parse_sources(["runs/x/model", "ours=org/name", "tiny:base"]) == {
        "model": "runs/x/model",
        "ours": "org/name",
        "base": "tiny:base",
    }
    for words, match in (
        (["a", "b/a"], "twice"),
        (["=x"], "NAME=MODEL"),
        (["x="], "NAME=MODEL"),
        ([""], "MODEL"),
    ):
        with pytest.raises(VideoJamError, match=match):
            parse_sources(words)


def test_fields_begin_with_the_joint_models_defaults_and_examples_fit_the_models(models):
    found = defaults_of(models)
    assert (found.w_text, found.w_motion, found.window) == (5.0, 3.0, "half")
    assert defaults_of(models[:1]).w_motion is None
    assert all("square" in text for text in examples_for(demo_sources()))
    assert len(examples_for({"a": "org/name"})) == 6


def test_times_in_words():
    assert [duration(s) for s in (0, 0.4, 59.4, 60, 125, 3599, 3660)] == [
        "1 s", "1 s", "59 s", "1 min 0 s", "2 min 5 s", "59 min 59 s", "1 h 1 min",
    ]  # fmt: skip


def test_clips_are_gone_at_the_end_and_those_of_a_killed_process_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    frames = torch.zeros(2, 3, 9, 11, dtype=torch.uint8)
    with temporary_clips() as clips:
        name = clips.add(frames, 8.0)
        assert clips.find(name).stat().st_size > 0
        assert os.stat(clips.folder).st_mode & 0o077 == 0
        clear_abandoned(tmp_path)  # another start leaves what is in use
        assert clips.find(name).exists()
    assert list(tmp_path.iterdir()) == []
    program = (
        "import os, signal\nfrom videojam.app.clips import temporary_clips\n"
        "with temporary_clips() as clips:\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    clear_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []
