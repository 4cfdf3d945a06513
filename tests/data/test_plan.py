"""Files become clips of the buckets' sizes: shapes, lengths, cuts and windows, with numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from videojam.data.cuts import find_cuts
from videojam.data.facts import ClipFacts
from videojam.data.layouts.listing import ListedClip
from videojam.data.plan import num_frames_in, plan_clips
from videojam.data.settings import Bucket, ClipSettings, parse_bucket
from videojam.errors import VideoJamError
from videojam.motion.upright import contain
from videojam.motion.video import read_video, write_video

WIDE, TALL, LONG = (
    Bucket(num_frames=n, height=h, width=w) for n, h, w in ((9, 32, 64), (9, 64, 32), (17, 32, 64))
)
CLIP = ListedClip("a.mp4", Path("a.mp4"), "a clip")


def facts(num_frames=48, fps=24.0, height=90, width=160, cuts=()):
    return ClipFacts(fps, True, num_frames, height, width, "hash", tuple(cuts))


def settings(*buckets, **fields):
    return ClipSettings(buckets=buckets or (WIDE, TALL, LONG), fps=8, **fields)


@pytest.mark.parametrize(
    ("shape", "seconds", "bucket"),
    [
        ((90, 160), 2, WIDE),  # 16 frames at 8 fps: 17 don't fit
        ((90, 160), 2.2, LONG),
        ((160, 90), 9, TALL),
        ((100, 101), 9, LONG),  # a little wider than high
        ((101, 100), 9, TALL),
    ],
)
def test_a_clip_gets_the_longest_bucket_of_the_nearest_shape(shape, seconds, bucket):
    (plan,), problems = plan_clips(CLIP, facts(round(seconds * 24), 24.0, *shape), settings())
    assert (plan.bucket, plan.start_s, plan.clip_id) == (bucket, 0.0, "a.mp4")
    assert not problems


def test_a_clip_that_fills_no_bucket_is_left_out_with_both_lengths():
    planned, problems = plan_clips(CLIP, facts(24), settings())
    assert not planned
    assert "at least 9 frames at 8 fps (1.12 s), found 8 (1.00 s)" in str(problems["a.mp4"])


def test_windows_follow_one_another_and_the_rest_is_not_used():
    planned, _ = plan_clips(CLIP, facts(96), settings(WIDE, windows="all"))  # 4 s hold 32 frames
    assert [plan.start_s for plan in planned] == [0, 1.125, 2.25]
    assert [plan.clip_id for plan in planned] == ["a.mp4@0", "a.mp4@1.125", "a.mp4@2.25"]


def test_scenes_are_clips_and_short_ones_have_a_reason():
    planned, problems = plan_clips(CLIP, facts(96, cuts=(1.5, 2.0)), settings(WIDE, cuts="split"))
    assert [(plan.clip_id, plan.start_s) for plan in planned] == [("a.mp4@0", 0), ("a.mp4@2", 2.0)]
    assert list(problems) == ["a.mp4@1.5"]
    planned, _ = plan_clips(CLIP, facts(96, cuts=(1.5, 2.0)), settings(WIDE, cuts="first"))
    assert [plan.start_s for plan in planned] == [0]
    _, problems = plan_clips(CLIP, facts(96), settings(WIDE, min_s=5))
    assert "at least 5 s (min_s), found 4.00 s" in str(problems["a.mp4"])


def test_a_stretch_that_a_table_names_keeps_its_start_and_end():
    stretch = ListedClip("a.mp4#1-3", Path("a.mp4"), "x", start_s=1.0, end_s=3.0)
    (plan,), _ = plan_clips(stretch, facts(96), settings(WIDE))
    assert plan.start_s == 1.0
    beyond = ListedClip("a.mp4#7-", Path("a.mp4"), "x", start_s=7.0)
    assert not plan_clips(beyond, facts(96), settings(WIDE))[0]


def test_frames_in_a_time_are_those_that_begin_before_its_end():
    assert [num_frames_in(seconds, 8.0) for seconds in (0.0, 0.1, 1.0, 1.01, 9 / 8)] == [0, 1, 8, 9, 9]


def test_buckets_are_read_as_written():
    assert str(parse_bucket("33x256x448")) == "33x256x448"
    for wrong in ("33x256", "1x256x256", "9x8x64", "9.5x32x32"):
        with pytest.raises(VideoJamError, match="33x256x448"):
            parse_bucket(wrong)


def test_cuts_are_found_where_the_scene_changes_and_a_flash_or_a_pan_is_none(tmp_path):
    generator = torch.Generator().manual_seed(0)
    red, blue = (torch.zeros(3, 48, 64), torch.zeros(3, 48, 64))
    red[0], blue[2] = 200, 200
    texture = torch.rand(3, 48, 64, generator=generator) * 40
    scene = [[(colour + texture.roll(i, 2)).byte() for i in range(12)] for colour in (red, blue)]
    write_video(tmp_path / "cut.mp4", torch.stack(scene[0] + scene[1]), 12)
    assert find_cuts(tmp_path / "cut.mp4") == [1.0]
    flash = [*scene[0][:6], torch.full((3, 48, 64), 255).byte(), *scene[0][6:]]
    write_video(tmp_path / "flash.mp4", torch.stack(flash), 12)
    assert find_cuts(tmp_path / "flash.mp4") == []


def test_letterbox_keeps_the_whole_picture_between_black_bars(tmp_path):
    white = torch.full((3, 20, 40), 255, dtype=torch.uint8)
    boxed = contain(white, (40, 40))
    assert boxed.shape == (3, 40, 40)
    assert boxed[:, 10:30].eq(255).all()
    assert not boxed[:, :10].any()
    assert not boxed[:, 30:].any()
    write_video(tmp_path / "wide.mp4", white.expand(5, -1, -1, -1), 8)
    frames = read_video(tmp_path / "wide.mp4", height=40, width=40, fit="letterbox").frames
    assert frames[:, :, 15:25].float().mean() > 250
    assert frames[:, :, :8].float().mean() < 5
