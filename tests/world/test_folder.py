"""Folders of clips: what is written, and that the score needs only mp4, caption and world."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from videojam.errors import VideoJamError
from videojam.locks import locked
from videojam.motion.video import read_video, write_video
from videojam.world import KINDS, WorldConfig, sample_clip
from videojam.world.folder import render_folder, score_folder

WORLD = WorldConfig(kinds=KINDS)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_folder(tmp_path_factory.mktemp("world") / "clips", 10, seed=40, config=WORLD)


def test_render_writes_video_caption_and_exact_flow(rendered: Path) -> None:
    assert sorted(p.name for p in rendered.iterdir()) == sorted(
        ["world.json"]
        + [f"{i:05d}{suffix}" for i in range(10) for suffix in (".mp4", ".txt", ".flow.safetensors")]
    )
    clip = sample_clip(43, WORLD)
    video = read_video(rendered / "00003.mp4")
    assert video.fps == 4
    assert video.frames.shape == clip.video.shape
    assert (video.frames.float() - clip.video.float()).abs().mean() < 8  # colours at half the resolution
    assert (rendered / "00003.txt").read_text() == clip.caption + "\n"
    flow = load_file(rendered / "00003.flow.safetensors")["flow"]
    assert flow.dtype == torch.float16
    assert torch.equal(flow.float(), clip.flow)  # whole numbers of pixels


def test_score_needs_only_mp4_and_caption_and_survives_re_encoding(rendered: Path, tmp_path: Path) -> None:
    for path in rendered.glob("*.mp4"):
        clip = read_video(path)
        write_video(tmp_path / path.name, clip.frames, clip.fps, crf=20)
        (tmp_path / f"{path.stem}.txt").write_text(path.with_suffix(".txt").read_text())
    (tmp_path / "world.json").write_text((rendered / "world.json").read_text())
    result = score_folder(tmp_path)
    assert [clip["reasons"] for clip in result["clips"]] == [[]] * 10
    assert result["num_clips"] == result["num_scored"] == 10
    assert result["coherent"] == result["as_asked"] == result["explained"] == 1.0
    assert sum(rates["num_scored"] for rates in result["kinds"].values()) == 10
    assert len(result["kinds"]) > 2


def test_the_world_is_the_folder_s_or_the_default_one(rendered: Path, tmp_path: Path) -> None:
    render_folder(tmp_path, 2, config=WorldConfig(kinds=("rotor",)))
    assert score_folder(tmp_path)["kinds"]["rotor"]["coherent"] == 1.0
    (tmp_path / "world.json").unlink()
    result = score_folder(tmp_path)
    assert (result["num_scored"], result["num_problems"]) == (0, 2)
    (tmp_path / "world.json").write_text('{"size": 3}')
    with pytest.raises(VideoJamError, match=r"world\.json.*found the unknown key size"):
        score_folder(tmp_path)
    with pytest.raises(VideoJamError, match="a lawful scene"):
        render_folder(tmp_path / "none", 1, config=WorldConfig(size_px=5, kinds=("exchange",)))
    assert not (tmp_path / "none").exists()


def test_what_can_not_be_scored_is_counted_with_its_reason(tmp_path: Path) -> None:
    render_folder(tmp_path, 6)
    for flow in tmp_path.glob("*.safetensors"):
        flow.unlink()
    (tmp_path / "00000.txt").unlink()
    (tmp_path / "00001.txt").write_text("  \n")
    (tmp_path / "00002.txt").write_text("a dog runs over a meadow")
    whole = (tmp_path / "00003.mp4").read_bytes()
    (tmp_path / "00003.mp4").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "00004.mp4").unlink()
    result = score_folder(tmp_path)
    assert result["num_clips"] == 6
    assert result["num_scored"] == 1
    assert result["num_problems"] == 5
    reasons = {problem["name"]: problem["reason"] for problem in result["problems"]}
    assert "00000.txt" in reasons["00000"]
    assert "empty" in reasons["00001"]
    assert "a dog runs" in reasons["00002"]
    assert "00003.mp4" in reasons["00003"]
    assert "00004.mp4" in reasons["00004"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_no_folder_and_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoJamError, match="no such folder"):
        score_folder(tmp_path / "nowhere")
    with pytest.raises(VideoJamError, match="no clip"):
        score_folder(tmp_path)


def test_render_refuses_no_clips_and_a_folder_that_is_a_file(tmp_path: Path) -> None:
    with pytest.raises(VideoJamError, match="at least one clip"):
        render_folder(tmp_path, 0)
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(VideoJamError, match="taken"):
        render_folder(taken, 1)


def test_render_loses_no_files_of_others_and_mixes_no_two_worlds(tmp_path: Path) -> None:
    mine, before = tmp_path / "00001.mp4", b"my holiday"
    mine.write_bytes(before)
    with pytest.raises(VideoJamError, match=r"00001\.mp4, which would be lost"):
        render_folder(tmp_path, 2)
    assert mine.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["00001.mp4"]
    render_folder(tmp_path, 1)  # 00001 is not written
    first = (tmp_path / "00000.mp4").read_bytes()
    with pytest.raises(VideoJamError, match=r"kinds = \('bounce',\).*found kinds = \('walker',\)"):
        render_folder(tmp_path, 1, config=WorldConfig(kinds=("walker",)))
    render_folder(tmp_path, 1)
    assert (tmp_path / "00000.mp4").read_bytes() == first


def test_two_renderings_into_one_folder_are_refused(tmp_path: Path) -> None:
    """Of two seeds, a clip would stand beside the flow of another."""
    with locked(tmp_path, "render"), pytest.raises(VideoJamError, match=f"process {os.getpid()} on host"):
        render_folder(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []
