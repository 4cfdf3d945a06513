"""Result files of the official package, and what is none."""

from __future__ import annotations

import json
import math

import pytest

from videojam.errors import VideoJamError
from videojam.evaluation.vbench.aggregate import DIMENSIONS
from videojam.evaluation.vbench.official_results import read_official

# Two clips, as vbench 0.1.5 writes them: booleans for dynamic degree, 0..100 for imaging quality of a clip.
CLIPS = {
    "aesthetic_quality": (0.5, 0.6),
    "imaging_quality": (58.0, 62.0),
    "subject_consistency": (0.90, 0.96),
    "background_consistency": (0.95, 0.97),
    "motion_smoothness": (0.98, 0.99),
    "dynamic_degree": (True, False),
}


def result(**changes):
    content = {}
    for name, values in (CLIPS | changes).items():
        total = sum(values) / len(values) / (100 if name == "imaging_quality" else 1)
        paths = [f"/clips/{'ab'[i]}.mp4" for i in range(len(values))]
        content[name] = [
            total,
            [{"video_path": path, "video_results": value} for path, value in zip(paths, values, strict=True)],
        ]
    return content


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_reads_clips_and_aggregates(tmp_path):
    results = read_official(write(tmp_path / "r.json", result()))
    assert results.clips["a"] == {
        "aesthetic_quality": 0.5,
        "imaging_quality": 0.58,
        "subject_consistency": 0.90,
        "background_consistency": 0.95,
        "motion_smoothness": 0.98,
        "dynamic_degree": 1.0,
    }
    assert results.aggregate.dimensions["imaging_quality"] == pytest.approx(0.6)
    subject, background = (0.93 - 0.1462) / 0.8538, (0.96 - 0.2615) / 0.7385
    assert results.aggregate.appearance == pytest.approx((0.55 + 0.6 + subject + background) / 4)
    assert results.aggregate.motion == pytest.approx(((0.985 - 0.706) / 0.2915 + 0.25) / 1.5)
    assert results.aggregate.num_clips == dict.fromkeys(DIMENSIONS, 2)


def test_merges_files_and_keeps_its_own_frame_mean(tmp_path):
    content = result()
    content["subject_consistency"][0] = 0.95  # the second clip is longer: a mean over frames, not over clips
    files = [write(tmp_path / f"{name}.json", {name: content[name]}) for name in content]
    files.append(write(tmp_path / "other.json", {"temporal_flickering": [0.9, []]}))
    results = read_official(*files)
    assert results.aggregate.dimensions["subject_consistency"] == 0.95
    assert results.ignored == ("temporal_flickering",)
    assert results.aggregate.motion is not None
    assert read_official(files[0]).aggregate.motion is None
    with pytest.raises(VideoJamError, match="more than one file"):
        read_official(files[0], files[0])


def test_nan_stays_visible(tmp_path):
    content = result(motion_smoothness=(0.98, math.nan))
    results = read_official(write(tmp_path / "r.json", content))
    assert math.isnan(results.clips["b"]["motion_smoothness"])
    assert math.isnan(results.aggregate.dimensions["motion_smoothness"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1, 2], "a list"),
        ({"motion_smoothness": 0.98}, "leaderboard"),
        ({"motion_smoothness": {"score": 0.98}}, "VBench-2.0"),
        ({"motion_smoothness": [0.98, [{"video": "a.mp4", "score": 0.98}]]}, "in the list of clips"),
        ({"motion_smoothness": [0.98, [{"video_path": "a.mp4", "video_results": [0.9, 1]}]]}, "VBench-Long"),
        ({"motion_smoothness": [0.98, []]}, "none"),
        ({"imaging_quality": [60.0, [{"video_path": "a.mp4", "video_results": 60.0}]]}, "older version"),
        ({"motion_smoothness": [0.5, [{"video_path": "a.mp4", "video_results": 0.98}]]}, "edited or cut"),
        ({"subject_consistency": [0.5, [{"video_path": "a.mp4", "video_results": 0.98}]]}, "edited or cut"),
        ({"motion_smoothness": [0.9, [{"video_path": "a.mp4", "video_results": 0.9}] * 2]}, "a twice"),
        ({"Human Anatomy": [0.9, []]}, "only Human Anatomy"),
        ({}, "no dimension"),
    ],
)
def test_other_layouts_are_told(tmp_path, content, told):
    with pytest.raises(VideoJamError, match=told):
        read_official(write(tmp_path / "r.json", content))


def test_missing_and_broken_files_are_told(tmp_path):
    with pytest.raises(VideoJamError, match="no such file"):
        read_official(tmp_path / "r.json")
    (tmp_path / "r.json").write_text('{"motion_smoothness": [0.9')
    with pytest.raises(VideoJamError, match="expected JSON"):
        read_official(tmp_path / "r.json")
