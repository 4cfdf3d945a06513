"""Files whose frame rate is not the recipe's."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from videojam.data.clips import list_clips
from videojam.data.config import FolderSource
from videojam.data.rates import MAX_NAMED, is_even, rate_notes
from videojam.errors import VideoJamError
from videojam.motion.video import write_video


@pytest.mark.parametrize(
    ("own_fps", "fps", "num_frames", "even"),
    [
        (16, 16, 81, True),
        (32, 16, 81, True),
        (48, 16, 81, True),
        (30000 / 1001, 30, 81, True),  # 0.08 frames behind at the end
        (30000 / 1001, 30, 1001, False),  # a whole frame behind
        (8, 16, 81, False),
        (24, 16, 81, False),
        (25, 16, 81, False),
        (15, 16, 81, False),
        (24, 16, 2, False),  # half a frame off at once
        (25, 24, 9, True),  # a third of a frame off after eight steps
    ],
)
def test_even_steps(own_fps, fps, num_frames, even):
    assert is_even(float(own_fps), float(fps), num_frames) is even


def numbered(tmp_path, own_fps, **source):
    frames = (8 * torch.arange(24)).to(torch.uint8).view(-1, 1, 1, 1).expand(24, 3, 32, 32).contiguous()
    write_video(tmp_path / "a.mp4", frames, own_fps)
    (tmp_path / "a.txt").write_text("a dog")
    size = {"num_frames": 8, "height": 32, "width": 32, "fps": 16}
    source = FolderSource(path=tmp_path, **{**size, **source})
    (entry,), _ = list_clips(source)
    content = entry.read()
    return [round(float(frame.float().mean()) / 8) for frame in content.video], content.own_fps, source


@pytest.mark.parametrize(
    ("own_fps", "steps"),
    [(16, {1}), (32, {2}), (8, {0, 1}), (24, {1, 2})],
    ids=["same", "double", "slow", "uneven"],
)
def test_resampling_and_the_warning_that_names_it(tmp_path, own_fps, steps):
    shown, own, source = numbered(tmp_path, own_fps)
    assert own == own_fps
    assert {b - a for a, b in pairwise(shown)} == steps
    notes = rate_notes({"a.mp4": own}, source)
    if len(steps) == 1:
        assert notes == []
    else:
        assert f"a.mp4 ({own_fps} fps)" in notes[0]
        assert "uneven_rate" in notes[0]


@pytest.mark.parametrize("own_fps", [8, 24])
def test_the_files_own_rate(tmp_path, own_fps):
    shown, own, source = numbered(tmp_path, own_fps, uneven_rate="native")
    assert shown == list(range(8))
    assert "their own frame rate" in rate_notes({"a.mp4": own}, source)[0]


def test_refusal(tmp_path):
    with pytest.raises(VideoJamError, match="found 8 fps") as caught:
        numbered(tmp_path, 8, uneven_rate="refuse")
    assert "a.mp4" in caught.value.where
    assert numbered(tmp_path, 32, uneven_rate="refuse")[0] == list(range(0, 16, 2))


def test_many_are_counted(tmp_path):
    source = FolderSource(path=tmp_path, num_frames=8, height=32, width=32, fps=16)
    (note,) = rate_notes({**{f"{i}.mp4": 8.0 for i in range(13)}, "even.mp4": 16.0, "unknown": None}, source)
    assert note.startswith("13 of 15 clips")
    assert note.endswith(f"and {13 - MAX_NAMED} more")
    assert "even.mp4" not in note
