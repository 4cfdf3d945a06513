"""Clips made elsewhere: what is matched, and what is told of the rest."""

from __future__ import annotations

import shutil

import av
import numpy as np
import pytest
import torch

from videojam.bench.folder import Bench
from videojam.bench.make.imports import import_clips
from videojam.bench.make.suites import Prompt, Suite
from videojam.bench.manifest import read_manifest
from videojam.errors import VideoJamError
from videojam.motion.video import probe_video, write_video

LONG = "A gymnast in a green leotard walks on her hands across a blue mat."
SUITE = Suite(
    name="three",
    prompts=(
        Prompt(id="p1", text=LONG),
        Prompt(id="p2", text="A dog runs."),
        Prompt(id="p3", text="A cat sleeps."),
    ),
)


def clip(path, num_frames=9, size=32, fps=8.0):
    write_video(path, torch.randint(0, 255, (num_frames, 3, size, size), dtype=torch.uint8), fps)


@pytest.fixture
def bench(tmp_path):
    return Bench.create(tmp_path / "bench", SUITE, num_seeds=2)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("A gymnast in a green leotard walks on her hands across a blue mat", "p1_s0"),
        ("a_gymnast_in_a_green_leotard_walks_on_her_", "p1_s0"),
        ("A dog runs-1", "p2_s1"),
        ("p2", "p2_s0"),
        ("p3_s1", "p3_s1"),
    ],
)
def test_names_that_are_understood(bench, tmp_path, name, key):
    clip(tmp_path / "in" / f"{name}.mp4")
    report = import_clips(bench, tmp_path / "in", "sora")
    assert report.unmatched == {}
    assert (bench.arm_folder("sora") / f"{key}.mp4").read_bytes() == (
        tmp_path / "in" / f"{name}.mp4"
    ).read_bytes()
    assert report.num_clips == 1
    assert len(report.missing) == 5
    manifest = read_manifest(bench, "sora")
    assert (manifest.kind, manifest.num_frames, manifest.height, manifest.fps) == ("import", 9, 32, 8)


def test_what_does_not_fit_is_told(bench, tmp_path):
    clip(tmp_path / "in" / "A dog runs.mp4")
    clip(tmp_path / "in" / "sub" / "p2.mp4")
    clip(tmp_path / "in" / "1.mp4")
    (tmp_path / "in" / "p3.mp4").write_bytes(b"not a video")
    report = import_clips(bench, tmp_path / "in", "kling")
    assert report.unmatched["sub/p2.mp4"] == "the clip p2_s0 is already A dog runs.mp4"
    assert report.unmatched["1.mp4"] == "fits no prompt of the suite"
    assert "expected" in report.unmatched["p3.mp4"]
    assert report.num_clips == 1
    assert read_manifest(bench, "kling").facts["unmatched"] == report.unmatched


def test_a_table_goes_before_names(bench, tmp_path):
    for name in ("p1", "x", "stray"):
        clip(tmp_path / "in" / f"{name}.mp4")
    table = tmp_path / "table.csv"
    table.write_text("file,id,prompt,seed\np1.mp4,p3,,1\nx.mp4,,a dog runs,\ngone.mp4,p1,,\n")
    report = import_clips(bench, tmp_path / "in", "runway", table=table)
    assert sorted(p.stem for p in bench.arm_folder("runway").glob("*.mp4")) == ["p2_s0", "p3_s1"]
    assert report.unmatched == {
        "stray.mp4": "not in the table", "gone.mp4": "in the table, but there is no such file"
    }  # fmt: skip


def test_the_true_rate_can_be_given(bench, tmp_path):
    clip(tmp_path / "in" / "p1.mp4", fps=8)
    import_clips(bench, tmp_path / "in", "gif", fps=24.0)
    info = probe_video(bench.arm_folder("gif") / "p1_s0.mp4")
    assert (info.fps, info.num_frames) == (24, 9)


def test_the_most_frequent_size_is_the_arms(bench, tmp_path):
    clip(tmp_path / "in" / "p1.mp4", size=48)
    clip(tmp_path / "in" / "p2.mp4")
    clip(tmp_path / "in" / "p3.mp4")
    import_clips(bench, tmp_path / "in", "mixed")
    assert read_manifest(bench, "mixed").height == 32


def test_no_clips_a_bad_table_or_a_generated_arm_are_refused(bench, tmp_path):
    with pytest.raises(VideoJamError, match="no such folder"):
        import_clips(bench, tmp_path / "nowhere", "x")
    clip(tmp_path / "in" / "p1.mp4")
    table = tmp_path / "t.csv"
    table.write_text("name,id\np1.mp4,p1\n")
    with pytest.raises(VideoJamError, match="Name the column 'file' in the first line"):
        import_clips(bench, tmp_path / "in", "x", table=table)
    import_clips(bench, tmp_path / "in", "x")
    path = bench.arm_folder("x") / "manifest.json"
    path.write_text(path.read_text().replace('"import"', '"videojam"'))
    with pytest.raises(VideoJamError, match="an arm whose clips were made by"):
        import_clips(bench, tmp_path / "in", "x")
    shutil.rmtree(bench.arm_folder("x"))


def test_held_and_dropped_frames_keep_their_time(bench, tmp_path):
    """A gif whose last picture is held for two seconds lasts as long as in a player."""
    (tmp_path / "in").mkdir()
    with av.open(str(tmp_path / "in" / "p1.gif"), "w", options={"final_delay": "200"}) as container:
        stream = container.add_stream("gif", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "rgb8"
        for i in range(5):
            image = np.full((32, 32, 3), 50 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    import_clips(bench, tmp_path / "in", "web")
    info = probe_video(bench.arm_folder("web") / "p1_s0.mp4")
    assert (info.fps, info.num_frames) == (10, 24)
    assert read_manifest(bench, "web").num_frames == 24
