"""One clip from one seed: what a file shows, its caption and its exact flow."""

from __future__ import annotations

import pytest
import torch

from videojam.errors import VideoJamError
from videojam.world import KINDS, WorldConfig, captions, sample_caption, sample_clip, score_clip

ALL = WorldConfig(kinds=KINDS)


def test_the_same_seed_is_the_same_clip_and_another_one_another() -> None:
    one, same, other = sample_clip(3), sample_clip(3), sample_clip(4)
    assert one.video.shape == (6, 3, 64, 64)
    assert torch.equal(one.video, same.video)
    assert torch.equal(one.flow, same.flow)
    assert not torch.equal(one.video, other.video)


def test_every_kind_is_drawn_coherent_and_as_its_caption_says() -> None:
    clips = [sample_clip(seed, ALL) for seed in range(24)]
    assert {clip.kind for clip in clips} == set(KINDS)
    for seed, clip in enumerate(clips):
        assert sample_caption(seed, ALL) == clip.caption
        score = score_clip(clip.video, clip.caption, ALL)
        assert (score.kind, score.coherent, score.as_asked, score.explained) == (clip.kind, True, True, 1.0)
        assert score.reasons == ()


def test_a_caption_is_given_its_clip() -> None:
    for caption in captions(ALL)[::3]:
        assert sample_clip(7, ALL, caption).caption == caption
    own = sample_caption(7, ALL)
    assert torch.equal(sample_clip(7, ALL, own).video, sample_clip(7, ALL).video)
    with pytest.raises(VideoJamError, match="a caption of the world, such as 'cool square moves slowly'"):
        sample_clip(7, ALL, "a red ball")


@pytest.mark.parametrize("pixel_px", [1, 8])
def test_flow_is_in_pixels_of_the_file_and_moves_what_it_stands_on(pixel_px: int) -> None:
    clip = sample_clip(11, WorldConfig(num_frames=9, pixel_px=pixel_px))
    assert clip.flow.shape == (8, 2, 8 * pixel_px, 8 * pixel_px)
    assert set(clip.flow.abs().amax((1, 2, 3)).tolist()) <= {pixel_px, 2 * pixel_px}
    for now, after, flow in zip(clip.video[:-1], clip.video[1:], clip.flow, strict=True):
        ys, xs = flow.abs().sum(0).nonzero().T
        assert len(ys) == 4 * pixel_px**2
        u, v = flow[:, ys, xs].long()
        assert torch.equal(now[0, ys, xs], after[0, ys + v, xs + u])


def test_frames_in_another_order_have_the_flow_of_that_order() -> None:
    order = [5, 0, 3, 1, 4, 2]
    clip, permuted = sample_clip(2, ALL), sample_clip(2, ALL, order=order)
    assert torch.equal(permuted.video, clip.video[order])
    back = sample_clip(2, ALL, order=range(6))
    assert torch.equal(back.flow, clip.flow)
    # two steps of the clip are one of every second frame
    other = sample_clip(2, order=[0, 2, 4])
    where = other.flow[0].abs().sum(0) > 0
    start = sample_clip(2).flow[0][:, where].mean(1)
    assert where.sum() == 4 * 64
    assert other.flow[0][:, where].mean(1).abs().sum() in (start.abs().sum() * 2, 0)


def test_a_kind_or_speed_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="each kind once"):
        WorldConfig(kinds=("bounce", "bounce"))
    with pytest.raises(ValueError, match="each speed once"):
        WorldConfig(speeds=(1, 1))
