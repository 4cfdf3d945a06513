"""Clips made elsewhere: what is matched, and what is told of the rest."""

from __future__ import annotations

import json
import shutil

import av
import numpy as np
import pytest
import torch

from videojam.bench.folder import Bench
from videojam.bench.make.imports import Matching, import_clips, import_into
from videojam.bench.make.suites import Prompt, Suite
from videojam.bench.manifest import read_manifest
from videojam.bench.report.collect import collect
from videojam.bench.report.report import _size_words
from videojam.bench.score.scoring import score_arm
from videojam.cli.bench import lengths
from videojam.errors import VideoJamError
from videojam.evaluation.judge import Measure
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
    report = import_clips(bench, tmp_path / "in", "runway", Matching(table=table))
    assert sorted(p.stem for p in bench.arm_folder("runway").glob("*.mp4")) == ["p2_s0", "p3_s1"]
    assert report.unmatched == {
        "stray.mp4": "not in the table", "gone.mp4": "in the table, but there is no such file"
    }  # fmt: skip


def test_the_true_rate_can_be_given(bench, tmp_path):
    clip(tmp_path / "in" / "p1.mp4", fps=8)
    import_clips(bench, tmp_path / "in", "gif", Matching(fps=24.0))
    info = probe_video(bench.arm_folder("gif") / "p1_s0.mp4")
    assert (info.fps, info.num_frames) == (24, 9)


def test_the_most_frequent_size_is_the_arms(bench, tmp_path):
    clip(tmp_path / "in" / "p1.mp4", size=48)
    clip(tmp_path / "in" / "p2.mp4")
    clip(tmp_path / "in" / "p3.mp4")
    import_clips(bench, tmp_path / "in", "mixed")
    assert read_manifest(bench, "mixed").height == 32


class Frames:
    """A judge that counts frames, and how often it was asked."""

    name, measures, asked = "frames", (Measure(name="n", title="frames", kind="count"),), 0

    def score(self, video, fps, prompt):
        self.asked += 1
        return {"n": len(video)}  # an int


def test_clips_of_every_length_are_scored_where_asked(bench, tmp_path):
    for number, prompt in enumerate(("p1", "p2", "p3")):
        clip(tmp_path / "in" / f"{prompt}.mp4", num_frames=9 + number)
    report, judge = import_clips(bench, tmp_path / "in", "sora"), Frames()
    assert sorted(report.frames.items()) == [(9, 1), (10, 1), (11, 1)]
    assert lengths(report.frames, False)[0].startswith("2 of 3 clips have another length")
    score_arm(bench, "sora", [judge])
    found = collect(bench)
    assert len(found.values["sora"]["frames.n"]) == 1
    assert sum("--any-length" in problem.what for problem in found.problems) == 2
    # Imported again: what is scored stays, the others are no longer unfit.
    import_clips(bench, tmp_path / "in", "sora", Matching(any_length=True))
    score_arm(bench, "sora", [judge])
    found = collect(bench)
    assert sorted(found.values["sora"]["frames.n"].values()) == [9, 10, 11]
    assert {problem.what for problem in found.problems} == {"missing"}
    assert judge.asked == 3
    assert "clips of any length of 32×32 px at 8 fps" in _size_words(read_manifest(bench, "sora"))


def test_clips_of_one_length_need_no_word():
    assert lengths({9: 4}, False) == lengths({}, True) == []


def test_no_clips_a_bad_table_or_a_generated_arm_are_refused(bench, tmp_path):
    with pytest.raises(VideoJamError, match="no such folder"):
        import_clips(bench, tmp_path / "nowhere", "x")
    clip(tmp_path / "in" / "p1.mp4")
    table = tmp_path / "t.csv"
    table.write_text("name,id\np1.mp4,p1\n")
    with pytest.raises(VideoJamError, match="Name the column 'file' in the first line"):
        import_clips(bench, tmp_path / "in", "x", Matching(table=table))
    import_clips(bench, tmp_path / "in", "x")
    path = bench.arm_folder("x") / "manifest.json"
    content = json.loads(path.read_text()) | {"kind": "videojam"}
    del content["sha256"]
    path.write_text(json.dumps(content))
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


CHINESE = "一只狗在草地上奔跑"
FOREIGN = Suite(
    name="foreign",
    prompts=(
        Prompt(id="c1", text=CHINESE),
        Prompt(id="c2", text="一只猫在睡觉"),
        Prompt(id="r1", text="Собака бежит по траве."),
        Prompt(id="h1", text="कुत्ता दौड़ता है"),
        Prompt(id="f1", text="Un café renversé"),
        Prompt(id="e1", text="🐕"),
    ),
)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (CHINESE, "c1_s0"),
        (f"{CHINESE}-1", "c1_s1"),
        (f"{CHINESE[:8]}", None),  # 24 bytes: too short for a cut name
        ("一只猫在睡觉", "c2_s0"),
        ("собака_бежит_по_траве", "r1_s0"),
        ("कुत्ता दौड़ता है", "h1_s0"),
        ("कत दड़त ह", None),  # the same letters without their marks are other words
        ("Un cafe\u0301 renverse\u0301", "f1_s0"),  # as macOS writes it
        ("🐕", "e1_s0"),
        ("猫", None),
        ("— —", None),
        ("unrelated", None),
    ],
)
def test_names_are_compared_in_any_script(tmp_path, name, key):
    bench = Bench.create(tmp_path / "bench", FOREIGN, num_seeds=2)
    clip(tmp_path / "in" / f"{name}.mp4")
    report = import_clips(bench, tmp_path / "in", "kling")
    found = sorted(path.stem for path in bench.arm_folder("kling").glob("*.mp4"))
    assert found == ([key] if key else [])
    assert list(report.unmatched.values()) == ([] if key else ["fits no prompt of the suite"])


def test_a_table_wins_over_the_names(tmp_path):
    bench = Bench.create(tmp_path / "bench", FOREIGN)
    for name in (CHINESE, "x"):
        clip(tmp_path / "in" / f"{name}.mp4")
    table = tmp_path / "table.csv"
    table.write_text(f"file,prompt\n{CHINESE}.mp4,一只猫在睡觉\nx.mp4,🐕\n", encoding="utf-8")
    assert import_clips(bench, tmp_path / "in", "kling", Matching(table=table)).unmatched == {}
    assert sorted(p.stem for p in bench.arm_folder("kling").glob("*.mp4")) == ["c2_s0", "e1_s0"]


@pytest.mark.parametrize(
    ("name", "key"), [(LONG[:42] + "-0", "p1_s0"), (LONG[:42].replace(" ", "_") + "-1", "p1_s1")]
)
def test_a_cut_name_may_have_its_seed(bench, tmp_path, name, key):
    clip(tmp_path / "in" / f"{name}.mp4")
    assert import_clips(bench, tmp_path / "in", "sora").unmatched == {}
    assert bench.arm_folder("sora").joinpath(f"{key}.mp4").exists()


@pytest.mark.parametrize("name", ["../e", "", ".", "a/b", "a b", "-a", "a\n"])
def test_a_name_that_is_no_folder_is_refused(bench, tmp_path, name):
    clip(tmp_path / "in" / "p1.mp4")
    with pytest.raises(VideoJamError, match="--name"):
        import_clips(bench, tmp_path / "in", name)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_cannot_be_is_refused(bench, tmp_path, fps):
    clip(tmp_path / "in" / "p1.mp4")
    with pytest.raises(VideoJamError, match="--fps"):
        import_clips(bench, tmp_path / "in", "sora", Matching(fps=fps))


def test_a_refused_import_leaves_no_folder(tmp_path):
    (tmp_path / "in").mkdir()
    suite = tmp_path / "suite.txt"
    suite.write_text("a dog\n")
    with pytest.raises(VideoJamError, match="video files"):
        import_into(tmp_path / "bench", tmp_path / "in", "sora", suite=str(suite))
    with pytest.raises(VideoJamError, match="bench folder"):
        import_into(tmp_path / "bench", tmp_path / "in", "sora")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "suite.txt"]


def test_the_folder_of_a_generation_says_which_clip_is_of_which_prompt(bench, tmp_path):
    """`videojam generate` cuts prompts to file names; its manifest has them whole, and a prompt may come twice."""
    prompts = ["A dog runs.", LONG, "a dog runs"]
    files = ["000_a-dog-runs.mp4", "001_a-gymnast-in-a-green-leotard-walks-on-he.mp4", "002_a-dog-runs.mp4"]
    for file in files:
        clip(tmp_path / "made" / file)
    lines = [{"index": i, "prompt": prompts[i], "files": {"video": file}} for i, file in enumerate(files)]
    (tmp_path / "made" / "manifest.json").write_text(json.dumps({"clips": lines}))
    report = import_clips(bench, tmp_path / "made", "mine")
    assert report.unmatched == {}
    found = {
        key: (bench.arm_folder("mine") / f"{key}.mp4").read_bytes() for key in ("p2_s0", "p1_s0", "p2_s1")
    }
    assert list(found.values()) == [(tmp_path / "made" / file).read_bytes() for file in files]


def test_an_import_changes_no_prompts_seeds_or_title_that_are_there(tmp_path):
    suite, path = tmp_path / "three.json", tmp_path / "bench" / "bench.json"
    suite.write_text(json.dumps([{"id": prompt.id, "text": prompt.text} for prompt in SUITE.prompts]))
    clip(tmp_path / "in" / "p1.mp4")
    few = SUITE.model_copy(update={"prompts": SUITE.prompts[:2]})
    Bench.create(path.parent, few, num_seeds=2, title="Walking")
    before = path.read_bytes()
    import_into(path.parent, tmp_path / "in", "sora", suite=str(suite))
    assert path.read_bytes() == before
    import_into(path.parent, tmp_path / "in", "sora", num_seeds=3)
    own = Bench.open(path.parent).file
    assert (len(own.suite.prompts), own.num_seeds, own.title) == (2, 3, "Walking")
