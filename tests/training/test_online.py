"""Clips encoded in the steps: the latents of the cache, parts and draws by seed and step, few files kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from videojam.data.cache import facts_of
from videojam.data.clips import list_clips
from videojam.data.config import DataConfig, FolderSource
from videojam.data.encode import prepare
from videojam.data.encoded import read_latents
from videojam.data.loader import LoaderConfig, Order, read_ahead
from videojam.data.online import OnlineReader
from videojam.errors import VideoJamError
from videojam.models.load import load_model
from videojam.motion.code import MotionCode
from videojam.motion.estimators import OnFirstUse
from videojam.motion.video import write_video
from videojam.training.config import TrainConfig
from videojam.training.dry_run import dry_run, dry_run_lines
from videojam.training.run import train

DIS = MotionCode(estimator="dis", scale=0.1)
CLIP = {"num_frames": 5, "height": 32, "width": 32, "fps": 8.0}
LONG = 13
"""Frames of each file: a clip of 5 can begin in 9 of them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files whose frame i is grey of 10·i, and their captions."""
    place = tmp_path_factory.mktemp("clips")
    grey = torch.arange(LONG).mul(10).to(torch.uint8).view(LONG, 1, 1, 1).expand(LONG, 3, 32, 32)
    for i in range(3):
        write_video(place / f"{i}.mp4", grey + i, 8)
        (place / f"{i}.txt").write_text(f"clip {i}")
    return place


def reader(tiny_wan: Path, folder: Path, cache: Path, **fields: str) -> tuple[OnlineReader, list]:
    source = FolderSource(path=folder, **CLIP)
    data = DataConfig.model_validate(
        {"source": source, "cache": cache, "encode": "online", "max_sequence_length": 16, **fields}
    )
    model = load_model(tiny_wan)
    clips = prepare(model, data, DIS, stored=lambda num: [0]).clips
    return OnlineReader(model, DIS, OnFirstUse("dis"), data, seed=3), clips


def test_the_beginning_and_the_mean_are_the_latents_of_the_cache(tiny_wan, folder, tmp_path):
    read, clips = reader(tiny_wan, folder, tmp_path / "online")
    cached = DataConfig(
        source=FolderSource(path=folder, **CLIP), cache=tmp_path / "cached", max_sequence_length=16
    )
    expected = read_latents(prepare(load_model(tiny_wan), cached, DIS).clips[1])
    found = read(clips[1], Order(0, (0,), (1,)), 0)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=2e-3, atol=2e-3)
    files = list((tmp_path / "online").glob("*/*.safetensors"))
    assert [path.name for path in files if facts_of(path)] == [clips[0].path.name]  # only the held-out clip


def test_parts_and_draws_are_functions_of_seed_and_step_whatever_the_threads(tiny_wan, folder, tmp_path):
    read, clips = reader(tiny_wan, folder, tmp_path, part="random", draw="posterior")
    orders = [Order(step, (0, 1), (1, 2)) for step in range(6)]
    alone, ahead = (
        [batch.x for batch in read_ahead(clips, orders, LoaderConfig(num, "posterior", 3, read), "cpu")]
        for num in (0, 3)
    )
    assert all(map(torch.equal, alone, ahead))
    assert len({float(x[0].sum()) for x in alone}) == len(orders)  # another part or draw in each step


@pytest.mark.parametrize(("where", "first"), [(0.0, 0), (0.5, 4), (1.0, LONG - CLIP["num_frames"])])
def test_a_part_begins_where_it_is_asked_and_ends_in_the_file(tiny_wan, folder, tmp_path, where, first):
    _, clips = reader(tiny_wan, folder, tmp_path)
    video = clips[1].entry.read(where).video
    assert len(video) == CLIP["num_frames"]
    grey = video.float().mean((1, 2, 3))
    torch.testing.assert_close(grey, torch.arange(5) * 10.0 + 10 * first + 1, atol=2.5, rtol=0)


def test_a_part_ends_in_the_file_where_a_table_says_a_later_end(folder, tmp_path):
    (tmp_path / "0.mp4").write_bytes((folder / "0.mp4").read_bytes())
    (tmp_path / "table.csv").write_text("video,caption,start,end\n0.mp4,clip,0,5\n")
    entries, _ = list_clips(FolderSource(path=tmp_path / "table.csv", **CLIP))
    grey = entries[0].read(1.0).video.float().mean((1, 2, 3))
    torch.testing.assert_close(grey, torch.arange(5) * 10.0 + 10 * (LONG - 5), atol=2.5, rtol=0)


@pytest.mark.parametrize("encode", ["once", "online"])
def test_two_runs_that_start_with_one_cache_both_end(tiny_wan, folder, tmp_path, encode):
    source = FolderSource(path=folder, **CLIP)
    data = DataConfig(source=source, cache=tmp_path, max_sequence_length=16, encode=encode)
    stored = (lambda num: [0]) if encode == "online" else None
    model = load_model(tiny_wan)

    class Beside:
        """An estimator whose first call lets another run encode the same clips."""

        name, first = "dis", True

        def __call__(self, video):
            if self.first:
                self.first = False
                prepare(model, data, DIS, stored=stored)
            return OnFirstUse("dis")(video)

    clips = prepare(model, data, DIS, estimator=Beside(), stored=stored).clips
    assert len(clips) == 3
    assert facts_of(clips[0].path)["caption"] == "clip 0"
    assert not list(tmp_path.glob("*/texts"))


def test_a_clip_that_vanishes_is_named_with_what_to_do(tiny_wan, folder, tmp_path):
    read, clips = reader(tiny_wan, shutil.copytree(folder, tmp_path / "clips"), tmp_path / "cache")
    (tmp_path / "clips/1.mp4").unlink()
    with pytest.raises(VideoJamError) as caught:
        next(read_ahead(clips, [Order(0, (0,), (1,))], LoaderConfig(1, read=read), "cpu"))
    error = caught.value
    assert error.expected == "the file of the clip 1.mp4, which was there when the clips were listed"
    assert (error.found, error.where) == ("no such file", str(tmp_path / "clips/1.mp4"))
    assert error.fix.startswith("Put it back and start again: a run goes on from its last checkpoint.")
    clips[2].path.unlink()  # the words of another one
    with pytest.raises(VideoJamError) as caught:
        read(clips[2], Order(0, (0,), (2,)), 0)
    assert caught.value.expected.startswith(f"the encoded words of {clips[2].name}, which were there")


def test_uneven_rates_of_all_clips_are_counted_also_of_those_read_in_the_steps(tiny_wan, folder, tmp_path):
    place = shutil.copytree(folder, tmp_path / "clips")
    for i, fps in ((1, 12), (2, 24)):  # 12 fps do not give 8 in even steps; 24 do
        write_video(place / f"{i}.mp4", torch.full((25, 3, 32, 32), i, dtype=torch.uint8), fps)
    source = FolderSource(path=place, **CLIP)
    data = DataConfig(source=source, cache=tmp_path / "cache", encode="online", max_sequence_length=16)
    model = load_model(tiny_wan)
    for _ in range(2):  # the second time with the held-out clip from the cache
        (note,) = [
            note for note in prepare(model, data, DIS, stored=lambda num: [0]).notes if "steps" in note
        ]
        assert note.startswith("1 of 3 clips")
        assert "1.mp4 (12 fps)" in note


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_file_that_cannot_be_opened_is_found_before_the_first_step(tiny_wan, folder, tmp_path, on_error):
    place = shutil.copytree(folder, tmp_path / "clips")
    (place / "2.mp4").write_bytes(b"no video" * 99)
    source = FolderSource(path=place, on_error=on_error, **CLIP)
    data = DataConfig(source=source, cache=tmp_path / "cache", encode="online", max_sequence_length=16)
    if on_error == "stop":
        with pytest.raises(VideoJamError, match=r"2\.mp4"):
            prepare(load_model(tiny_wan), data, DIS, stored=lambda num: [0])
        return
    found = prepare(load_model(tiny_wan), data, DIS, stored=lambda num: [num - 1])
    assert [Path(clip.name).name for clip in found.clips] == ["0.mp4", "1.mp4"]
    assert [Path(name).name for name in found.left_out] == ["2.mp4"]


def test_missing_weights_of_raft_are_refused_before_the_texts_are_encoded(tiny_wan, folder, tmp_path):
    model, code = load_model(tiny_wan), MotionCode(estimator="raft", scale=0.1)
    for encode, stored in (("once", None), ("online", lambda num: [0])):
        cache = tmp_path / encode
        data = DataConfig(source=FolderSource(path=folder, **CLIP), cache=cache, encode=encode)
        raft = OnFirstUse("raft", tmp_path / "none.safetensors")
        with pytest.raises(VideoJamError, match="a weights file") as caught:
            prepare(model, data, code, estimator=raft, stored=stored)
        assert caught.value.where == str(tmp_path / "none.safetensors")
        assert not cache.exists()
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(VideoJamError, match="found a file of another kind"):
        prepare(model, data, code, estimator=OnFirstUse("raft", tmp_path / "text.pth"), stored=stored)


def test_a_run_trains_on_other_parts_in_each_step(short_recipe, folder, tmp_path):
    recipe = short_recipe(tmp_path / "cache") | {"motion": {"estimator": "dis"}, "num_steps": 2}
    recipe |= {"out": str(tmp_path / "run"), "batch_size": 3}
    source = {"kind": "folder", "path": str(folder), **CLIP}
    recipe["data"] |= {"source": source, "encode": "online", "part": "random"}
    assert train(TrainConfig.model_validate(recipe)).ok
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "appearance" in line] == [1, 2]
    assert "heldout_motion@0.5" in lines[-1]


def test_the_dry_run_counts_the_autoencoder_beside_a_step(short_recipe, tmp_path):
    recipe = short_recipe(tmp_path / "cache") | {"out": str(tmp_path / "run")}
    recipe["data"]["encode"] = "online"
    config = TrainConfig.model_validate(recipe)
    run = dry_run(config, tflops=1.0)
    found = run.estimate
    assert found.training == found.held + found.step + found.pixel_stage
    assert any("autoencoder and clips, beside" in line for line in dry_run_lines(config, run))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"part": "random"}, "needs encode: online"),
        ({"part": "random", "encode": "online", "source": {"kind": "world", "num_clips": 3}}, "kind: folder"),
        ({"encode": "online", "source": {"kind": "prepared", "path": "x"}}, "clips with their pixels"),
    ],
)
def test_what_has_no_pixels_or_no_parts_is_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        DataConfig.model_validate({"source": {"kind": "folder", "path": "x", **CLIP}, **fields})
