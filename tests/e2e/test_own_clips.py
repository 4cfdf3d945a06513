"""A user's folder of ordinary files, through the command line: convert, train, verify, generate."""

from __future__ import annotations

import json

import pytest
import torch
import yaml
from typer.testing import CliRunner

from moving_clips import moving_clip
from videojam.cli import app
from videojam.motion.video import probe_video, read_video, write_video


@pytest.fixture
def folder(tmp_path):
    """World clips as ordinary files: enlarged, portrait, landscape, at several rates and lengths."""
    clips = tmp_path / "clips"
    clips.mkdir()
    shapes = [(96, 96, 12, 25), (128, 96, 24, 25), (96, 160, 30, 21), (64, 64, 15, 17)]
    for i, (height, width, fps, num_frames) in enumerate(shapes):
        clip = moving_clip(i)
        video = torch.nn.functional.interpolate(clip.video[:num_frames].float(), size=(height, width))
        write_video(clips / f"clip{i}.mp4", video.byte(), fps)
        (clips / f"clip{i}.txt").write_text(clip.caption)
    return clips


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_convert_train_verify_generate(tiny_wan, folder, tmp_path):
    invoke("convert", tiny_wan, tmp_path / "joint", "--estimator", "dis", "--scale", "0.1")
    recipe = {
        "base": str(tmp_path / "joint"),
        "out": str(tmp_path / "run"),
        "data": {
            "source": {
                "kind": "folder",
                "path": str(folder),
                "num_frames": 5,
                "height": 32,
                "width": 48,
                "fps": 8,
            },
            "cache": str(tmp_path / "cache"),
            "num_heldout": 1,
            "max_sequence_length": 16,
        },
        "motion": {"estimator": "dis", "scale": 0.1},
        "num_steps": 2,
        "batch_size": 2,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    output = invoke("train", tmp_path / "recipe.yaml", "--set", "num_steps=3", "log_every=1")
    assert "99th percentile" in output
    assert "step 3/3" in output
    invoke("verify", tmp_path / "run" / "model")
    invoke(
        "generate", tmp_path / "run" / "model", "a red ball moves", "the wheel moves left", "--out", tmp_path / "out",
        "--steps", 2, "--frames", 5, "--height", 32, "--width", 48, "--seed", 3,
    )  # fmt: skip
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [clip["seed"] for clip in manifest["clips"]] == [3, 4]
    for clip in manifest["clips"]:
        for half in ("video", "motion"):
            path = tmp_path / "out" / clip["files"][half]
            assert read_video(path).frames.shape == (5, 3, 32, 48)
            assert probe_video(path).fps == manifest["fps"]
