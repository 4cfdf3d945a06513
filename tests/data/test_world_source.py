"""The project's world as a source of `data check` and `data prepare`: the clips and latents of training on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from videojam.cli import app
from videojam.data.config import FACTS_NAME, DataConfig, PreparedSource, WorldSource
from videojam.data.encode import prepare
from videojam.data.encoded import read_latents
from videojam.data.latents import DrawnClip, encode_pixels
from videojam.data.layouts.world import source_of
from videojam.data.look import LookRequest, cached_clips
from videojam.errors import VideoJamError
from videojam.models.load import load_model
from videojam.motion.code import MotionCode
from videojam.world import WorldConfig, sample_clip

WORLD = WorldConfig(num_frames=9, pixel_px=4)
SOURCE = WorldSource(num_clips=3, seed=7, world=WORLD)
SETTINGS = ["--world", "seed=7", "--world", "num_frames=9", "--world", "pixel_px=4"]
EXACT = MotionCode(estimator="exact", scale=0.1)


def invoke(*words):
    return CliRunner().invoke(app, ["data", *map(str, words)])


def prepare_words(out, base, *more):
    own = ["--base", base, "--device", "cpu", "--max-sequence-length", 16, "--workers", 0]
    return ["prepare", "world:3", out, *own, "--motion", "scale=0.1", *more]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_wan):
    """Three clips of the world, prepared by the command line."""
    out = tmp_path_factory.mktemp("world") / "out"
    found = invoke(*prepare_words(out, tiny_wan, *SETTINGS))
    assert found.exit_code == 0, found.output
    return out


@pytest.fixture(scope="module")
def model(tiny_wan):
    return load_model(tiny_wan)


def test_clips_and_latents_are_those_of_training_on_the_world(prepared, model, tmp_path):
    """Float16 latents of calls with other clips beside them: at most one unit in the last place apart."""
    config = DataConfig(source=SOURCE, cache=tmp_path, num_heldout=1, max_sequence_length=16)
    direct = prepare(model, config, EXACT)
    own = prepare(model, config.model_copy(update={"source": PreparedSource(path=prepared)}), EXACT)
    assert [(clip.name, clip.caption) for clip in own.clips] == [
        (f"world seed {seed}", sample_clip(seed, WORLD).caption) for seed in (7, 8, 9)
    ]
    assert [clip.name for clip in own.clips] == [clip.name for clip in direct.clips]
    for mine, theirs in zip(own.clips, direct.clips, strict=True):
        a, b = read_latents(mine), read_latents(theirs)
        assert a.keys() == b.keys()
        for key in a:
            torch.testing.assert_close(a[key], b[key], rtol=2**-10, atol=2**-14)


def test_every_frame_is_encoded_and_decoded_where_time_is_not_compressed(tmp_path):
    """Six frames of `tiny:base`; its stock class reads 4k + 1."""
    model, clip = load_model("tiny:base"), sample_clip(7)
    made = encode_pixels(model, [DrawnClip("", "", clip.video, EXACT.draw(clip.flow))], together=True)
    assert {made.x.shape, made.d.shape, made.x_std.shape, made.d_std.shape} == {(1, 3, 6, 8, 8)}
    shown = (model.family.decode_video(model.pipeline, made.x, 6)[0].movedim(1, 0) + 1) * 127.5
    assert (
        float((shown - clip.video.float()).abs().mean((1, 2, 3)).max()) < 2.0
    )  # of 255 levels, the worst frame


def test_the_page_shows_the_worlds_frames_and_exact_flow(prepared):
    (clip,) = cached_clips(LookRequest(prepared, num_clips=1))
    drawn = sample_clip(7, WORLD)
    assert torch.equal(clip.frames, drawn.video)
    assert torch.equal(clip.flow, EXACT.draw(drawn.flow))
    assert clip.note == ""


def test_a_second_run_makes_nothing_and_another_world_is_refused_by_name(prepared, tiny_wan):
    before = {path: path.stat().st_mtime_ns for path in prepared.glob("shard-*")}
    assert invoke(*prepare_words(prepared, tiny_wan, *SETTINGS)).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in prepared.glob("shard-*")} == before
    found = invoke(*prepare_words(prepared, tiny_wan, *SETTINGS, "--world", "seed=8"))
    assert "world seed 7 is gone" in str(found.exception)
    assert json.loads((prepared / FACTS_NAME).read_text())["motion"]["estimator"] == "exact"


def test_check_says_layout_size_and_rate():
    found = invoke("check", "world:3", *SETTINGS, "--json")
    assert found.exit_code == 0, found.output
    facts = json.loads(found.stdout)
    assert (facts["layout"], facts["num_used"], facts["num_unused"]) == ("world", 3, 0)
    assert (facts["sizes"], facts["frame_rates"], facts["duration_s"]) == ({"32×32": 3}, {"4": 3}, 6.75)
    sized = invoke("check", "world:3", *SETTINGS, "--json", "--bucket", "9x32x32")
    assert json.loads(sized.stdout)["buckets"] == {"9x32x32": 3}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["world:"], "world:N with N clips"),
        (["world:0"], "world:N with N clips"),
        (["world:3x"], "world:N with N clips"),
        (["world:3", "--world", "pixels_px=4"], "Did you mean 'pixel_px'"),
        (["world:3", "--world", "pixel_px=zero"], "pixel_px"),
        (["world:3", "--world", "seed=-1"], "seed"),
        (["world:3", "--world", "size_px"], "key=value"),
        (["world:3", "--world", "mover_px=9"], "a frame of at least"),
        (["clips", "--world", "seed=1"], "world:N as the source"),
        (["world:3", "--bucket", "9x64x64"], "the world's own size and rate, 6x64x64 at 4 fps"),
        (["world:3", "--bucket", "6x64x64", "--fps", "8"], "the world's own size and rate"),
        (["world:3", "--layout", "sidecars"], "Leave the layout out"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_wrong_world_is_refused_with_what_was_expected(words, said):
    found = invoke("check", *words)
    assert isinstance(found.exception, VideoJamError), found.output
    assert said in str(found.exception)


def test_exact_flow_of_files_is_refused_before_one_is_read(tiny_wan, tmp_path):
    words = ["--base", tiny_wan, "--device", "cpu", "--motion", "estimator=exact", "--bucket", "5x32x32"]
    found = invoke("prepare", tmp_path / "absent", tmp_path / "out", *words)
    assert "Use estimator raft or dis" in str(found.exception)
    assert not (tmp_path / "out").exists()


def test_a_path_stays_a_path():
    assert source_of(Path("world")) == Path("world")
    assert source_of(Path("./clips")) == Path("./clips")
