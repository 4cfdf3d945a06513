"""`videojam data`: what it says and how it exits."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from moving_clips import moving_clip
from videojam.cli import app
from videojam.motion.video import write_video

runner = CliRunner()


@pytest.fixture
def clips(tmp_path):
    for seed in range(3):
        clip = moving_clip(seed, 9, 32, 48)
        write_video(tmp_path / f"{seed}.mp4", clip.video, 8)
        (tmp_path / f"{seed}.txt").write_text(clip.caption)
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 99)
    (tmp_path / "broken.txt").write_text("x")
    return tmp_path


def test_check_names_layout_and_reasons_and_its_exit_code_follows_the_share(clips):
    arguments = ["data", "check", str(clips), "--workers", "0"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 1
    assert "layout sidecars" in result.stdout
    assert "3 clips can be used, 1 can't" in result.stdout
    assert "unused: broken.mp4: expected" in result.stdout  # the name once
    assert runner.invoke(app, [*arguments, "--allow-unused", "0.25"]).exit_code == 0


def test_check_as_json_with_sizes_and_a_manifest(clips, tmp_path):
    lines = tmp_path / "out" / "manifest.jsonl"
    arguments = ["data", "check", str(clips), "--workers", "0", "--json", "--manifest", str(lines)]
    result = runner.invoke(app, [*arguments, "--bucket", "5x32x32", "--bucket", "5x32x48", "--fps", "8"])
    facts = json.loads(result.stdout)
    assert (facts["num_used"], facts["num_unused"], facts["buckets"]) == (3, 1, {"5x32x48": 3})
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["clip_id"] for row in rows] == ["0.mp4", "1.mp4", "2.mp4"]
    assert all(len(row["content_hash"]) == 64 and row["end_s"] == 0.625 for row in rows)


def test_check_of_a_missing_source_is_a_mistake(tmp_path):
    result = runner.invoke(app, ["data", "check", str(tmp_path / "absent")])
    assert "no such folder" in str(result.exception)


@pytest.mark.parametrize(
    ("flags", "expected", "found"),
    [
        (["--motion", "estimator"], "key=value", "'estimator'"),
        (
            ["--min-motion", "2", "--max-motion", "1"],
            "a min_motion below max_motion",
            "min_motion: 2.0, max_motion: 1.0",
        ),
        (["--bucket", "5x32x32"], "each bucket once", "buckets: 5x32x32, 5x32x32"),
    ],
)
def test_flags_of_prepare_that_do_not_fit_are_named(clips, tmp_path, flags, expected, found):
    words = [
        "data",
        "prepare",
        str(clips),
        str(tmp_path / "out"),
        "--base",
        "tiny:base",
        "--bucket",
        "5x32x32",
    ]
    error = runner.invoke(app, [*words, "--fps", "8", "--device", "cpu", *flags]).exception
    assert (error.expected, error.found) == (expected, found)
    assert error.where in ("--motion", "the clips")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fps", ["0", "-1", "nan"])
def test_a_rate_of_zero_is_no_rate_left_out(tmp_path, fps):
    found = runner.invoke(app, ["data", "check", str(tmp_path), "--bucket", "5x32x32", "--fps", fps])
    assert "fps" in str(found.exception)
