"""Exports in the layouts of the judges, and their results by the clips' own names."""

from __future__ import annotations

import csv
import json

import av
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from videojam.cli import app
from videojam.errors import VideoJamError
from videojam.evaluation.external.clips import clips_of_folder, read_record
from videojam.evaluation.external.judge import ExportOptions, import_results
from videojam.evaluation.external.physics_iq import PhysicsIQ
from videojam.evaluation.external.table import EXTERNAL, external_judge
from videojam.evaluation.external.trajan import Trajan
from videojam.evaluation.external.videophy import VideoPhy
from videojam.evaluation.external.vmbench import VMBench
from videojam.motion.video import probe_video, read_video, write_video

PROMPTS = {"a_s0": 'A dog, "big", runs', "b_s0": "A wheel turns", "c_s0": "A ball falls"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("clips")
    pixels = np.random.default_rng(0).integers(0, 256, (22, 3, 16, 16), np.uint8)
    for i, (name, prompt) in enumerate(PROMPTS.items()):
        write_video(out / f"{name}.mp4", torch.from_numpy(pixels[: 22 - i]), 4)
        (out / f"{name}.txt").write_text(prompt + "\n")
    write_video(out / "a_s0.motion.mp4", torch.from_numpy(pixels), 4)
    return out


@pytest.fixture(scope="module")
def clips(folder):
    return clips_of_folder(folder)


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_clips_with_prompts(folder, clips, tmp_path):
    assert {clip.name: clip.prompt for clip in clips} == PROMPTS
    table = write_csv(tmp_path / "t.csv", [{"file": "b_s0.mp4", "prompt": "Another"}])
    assert clips_of_folder(folder, table)[1].prompt == "Another"
    (tmp_path / "lone.mp4").write_bytes(b"")
    line = {"index": 0, "prompt": "A cat", "files": {"video": "lone.mp4"}}
    (tmp_path / "manifest.json").write_text(json.dumps({"clips": [line]}))  # as `videojam generate` writes it
    assert [clip.prompt for clip in clips_of_folder(tmp_path)] == ["A cat"]
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(VideoJamError, match=r"lone\.txt"):
        clips_of_folder(tmp_path)
    with pytest.raises(VideoJamError, match="no such folder"):
        clips_of_folder(tmp_path / "empty")


def test_vmbench(clips, tmp_path):
    items = [
        {"index": "0007", "prompt": "a  wheel turns ", "subject_noun": "wheel"},
        {"index": "0009", "prompt": PROMPTS["a_s0"], "subject_noun": "dog"},
        {"index": "0010", "prompt": "Not asked", "subject_noun": "cat"},
    ]
    (tmp_path / "prompts.json").write_text(json.dumps(items))
    record = VMBench().export(clips, tmp_path / "out", ExportOptions(tmp_path / "prompts.json"))
    assert sorted(path.name for path in (tmp_path / "out/videos").iterdir()) == ["0007.mp4", "0009.mp4"]
    assert record.files == {"0007": "b_s0", "0009": "a_s0"}
    assert list(record.unmatched) == ["c_s0"]
    assert record.fps["0007"] == 4
    assert read_record(tmp_path / "out") == record
    results = [
        {"index": "0007", "perceptible_amplitude_score": 0.2, "object_integrity_score": 1.0},
        {"index": "0010", "perceptible_amplitude_score": 0.3},
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    scores = import_results(tmp_path / "out", tmp_path / "results.json")
    assert scores.clips == {"b_s0": {"perceptible_amplitude_score": 0.2, "object_integrity_score": 1.0}}
    assert scores.missing == ("a_s0",)
    assert scores.unknown == ("0010",)
    (tmp_path / "prompts.json").write_text(json.dumps([{"prompt": "x"}]))
    with pytest.raises(VideoJamError, match="subject_noun"):
        VMBench().export(clips, tmp_path / "out", ExportOptions(tmp_path / "prompts.json"))


def test_videophy(clips, tmp_path):
    VideoPhy().export(clips, tmp_path / "out")
    with (tmp_path / "out/input.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["caption"] for row in rows] == list(PROMPTS.values())
    assert all(probe_video(row["videopath"]).fps == 4 for row in rows)
    for name, marks in (("sa", (5, 4, 3)), ("pc", (4, 3, 5))):
        scored = [
            {"caption": row["caption"], "videopath": row["videopath"], "score": float(mark)}
            for row, mark in zip(rows, marks, strict=True)
        ]
        write_csv(tmp_path / f"{name}.csv", scored)
    scores = import_results(tmp_path / "out", tmp_path / "sa.csv", tmp_path / "pc.csv")
    assert [scores.clips[name]["joint"] for name in PROMPTS] == [1, 0, 0]
    assert scores.clips["b_s0"] == {"semantic_adherence": 4, "physical_commonsense": 3, "joint": 0}
    with pytest.raises(VideoJamError, match="found 1 file"):
        import_results(tmp_path / "out", tmp_path / "sa.csv")


def test_physics_iq_takes_five_seconds(clips, tmp_path):
    rows = [
        {"description": prompt, "generated_video_name": f"000{i}_perspective-left_trimmed-{name}.mp4"}
        for i, (name, prompt) in enumerate(PROMPTS.items())
    ]
    table = write_csv(tmp_path / "d.csv", rows[:2])
    record = PhysicsIQ().export(clips, tmp_path / "out", ExportOptions(table, "m-op-run_01"))
    written = tmp_path / "out/m-op-run_01" / rows[0]["generated_video_name"]
    assert len(read_video(written).frames) == 20  # 5 s at 4 fps of its 22 frames
    assert set(record.files.values()) == {"a_s0", "b_s0"}
    assert list(record.unmatched) == ["c_s0"]
    (tmp_path / "m_metrics.json").write_text(json.dumps({"final_score_view": 31.5, "final_score_orig": 20}))
    scores = import_results(tmp_path / "out", tmp_path / "m_metrics.json")
    assert scores.run == {"physics_iq_verified": 31.5, "physics_iq": 20}
    short = [clip for clip in clips if clip.name == "c_s0"]
    write_video(tmp_path / "short.mp4", torch.zeros(19, 3, 16, 16, dtype=torch.uint8), 4)
    short = [type(short[0])(tmp_path / "short.mp4", PROMPTS["a_s0"])]
    with pytest.raises(VideoJamError, match=r"4\.75 s \(expected 5 s"):
        PhysicsIQ().export(short, tmp_path / "none", ExportOptions(table))


def test_trajan_by_table_and_command(folder, tmp_path):
    run = CliRunner().invoke(app, ["judges", "export", "trajan", str(folder), str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    rows = [{"file": f"videos/{name}.mp4", "average_jaccard": 0.5} for name in list(PROMPTS)[:2]]
    table = write_csv(tmp_path / "r.csv", rows)
    run = CliRunner().invoke(app, ["judges", "import", str(tmp_path / "out"), str(table)])
    assert run.exit_code == 1
    assert "no result: c_s0" in run.stderr
    assert json.loads(run.stdout)["clips"]["a_s0"] == {"average_jaccard": 0.5}


def test_bad_results_are_told(clips, tmp_path):
    Trajan().export(clips, tmp_path / "out")
    for value in ("nan", "", "good"):
        table = write_csv(tmp_path / "r.csv", [{"file": "videos/a_s0.mp4", "average_jaccard": value}])
        with pytest.raises(VideoJamError, match="finite score"):
            import_results(tmp_path / "out", table)
    table = write_csv(tmp_path / "r.csv", [{"file": "a_s0.mp4", "score": 1}])
    with pytest.raises(VideoJamError, match="average_jaccard"):
        import_results(tmp_path / "out", table)
    with pytest.raises(VideoJamError, match=r"export\.json"):
        import_results(tmp_path, table)
    with pytest.raises(VideoJamError, match="twice"):
        VideoPhy().export([clips[0], clips[0]], tmp_path / "twice")


def test_each_judge_of_the_table_says_what_it_measures_and_what_was_not_tried(tmp_path):
    for name, offer in EXTERNAL.items():
        judge = external_judge(name)
        assert judge.name == name
        assert "not run" in offer.about
        assert judge.measures or name == "physics-iq"
        assert all(m.better == "higher" for m in judge.measures)
    with pytest.raises(VideoJamError, match="vmbench, videophy, physics-iq, trajan"):
        external_judge("vbench-long")
    helped = CliRunner().invoke(app, ["judges", "export", "--help"], env={"COLUMNS": "80"})
    assert " ".join(helped.stdout.replace("│", "").split()).count("not run by us") == len(EXTERNAL)
    for name, what in (("vmbench", "prompts.json"), ("physics-iq", "generated_video_name")):
        with pytest.raises(VideoJamError, match=what):
            external_judge(name).export([], tmp_path / "out")


def test_an_export_takes_each_clip_at_its_true_timing_as_mp4(tmp_path):
    """An upper-case suffix is an mp4 like any other; another container is encoded again at its own rate."""
    folder = tmp_path / "clips"
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 3, 17, 33), np.uint8))
    write_video(folder / "A.MP4", pixels[..., :16, :32], 8)
    with av.open(str(folder / "b.gif"), "w") as container:
        stream = container.add_stream("gif", rate=4)
        stream.width, stream.height, stream.pix_fmt = 33, 17, "rgb8"
        for frame in pixels:
            image = av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            container.mux(stream.encode(image.reformat(format="rgb8")))
        container.mux(stream.encode())
    (folder / "broken.mp4").write_bytes(b"no video")
    for name in ("A", "b", "broken"):
        (folder / f"{name}.txt").write_text("A ball falls")
    record = Trajan().export(clips_of_folder(folder), tmp_path / "out")
    assert record.fps == {"A": 8, "b": 4}
    assert list(record.unmatched) == ["broken"]
    assert (tmp_path / "out/videos/A.mp4").read_bytes() == (folder / "A.MP4").read_bytes()
    again = read_video(tmp_path / "out/videos/b.mp4")
    assert (len(again.frames), again.fps, tuple(again.frames.shape[2:])) == (8, 4, (16, 32))


def test_a_refused_export_leaves_nothing_and_an_older_one_is_not_mixed_with_another(clips, tmp_path):
    broken = [type(clips[0])(tmp_path / "gone.mp4", "A ball falls")]
    with pytest.raises(VideoJamError, match="none of 1: gone: no such file"):
        Trajan().export(broken, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "out").exists()
    Trajan().export(clips, tmp_path / "out")
    with pytest.raises(VideoJamError, match="doesn't exist yet"):
        Trajan().export(clips[:1], tmp_path / "out")
    assert len(list((tmp_path / "out/videos").iterdir())) == 3


def test_a_clip_twice_in_the_results_is_refused(clips, tmp_path):
    Trajan().export(clips, tmp_path / "out")
    rows = [{"file": f"a_s0.{end}", "average_jaccard": 0.5} for end in ("mp4", "avi")]
    with pytest.raises(VideoJamError, match="a_s0 twice"):
        import_results(tmp_path / "out", write_csv(tmp_path / "r.csv", rows))
