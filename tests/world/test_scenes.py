"""The world's table of lawful motions, and what is drawn from it."""

from __future__ import annotations

import pytest
import torch

from videojam.motion.code import MotionCode
from videojam.motion.rgb import rgb_to_flow
from videojam.world import WorldConfig, captions, draw_clips, exact_flow, lawful_scenes, text_table
from videojam.world.latents import cell_colours, decode, encode, encode_motion

WORLD = WorldConfig()


def corners(config: WorldConfig) -> torch.Tensor:
    """Top left corner (x, y) of the mover, `[K, F, 2]`."""
    place = lawful_scenes(config).place[:, :, 0]
    return torch.stack([place % config.size_px, place // config.size_px], dim=2)


def test_there_is_a_scene_for_each_start_direction_and_speed() -> None:
    assert len(lawful_scenes(WORLD)) == 7 * 7 * 4 * 2


def test_the_mover_goes_its_speed_in_every_step_and_never_leaves_the_frame() -> None:
    at, speeds = corners(WORLD), torch.tensor(WORLD.speeds)[lawful_scenes(WORLD).speed]
    assert at.min() == 0
    assert at.max() == WORLD.size_px - WORLD.mover_px
    assert (at.diff(dim=1).abs().sum(2) == speeds[:, None]).all()


def test_it_turns_only_where_the_next_step_would_leave() -> None:
    at = corners(WORLD)
    step = at.diff(dim=1)
    turns = (step[:, 1:] != step[:, :-1]).any(2)
    ahead = at[:, 1:-1] + step[:, :-1]
    leaves = ((ahead < 0) | (ahead > 6)).any(2)
    assert torch.equal(turns, leaves)


def test_flow_carries_the_mover_to_where_it_is_next() -> None:
    scenes = lawful_scenes(WORLD)
    clips = draw_clips(WORLD, scenes, 32, torch.Generator().manual_seed(0))
    flow = exact_flow(WORLD, scenes, clips.scene)
    assert ((flow != 0).any(1).sum((2, 3)) == 4).all()
    for clip, field in zip(clips.x[:, 0], flow, strict=True):
        for frame in range(WORLD.num_frames - 1):
            ys, xs = field[:, frame].abs().sum(0).nonzero().T
            u, v = field[:, frame, ys, xs].long()
            assert torch.equal(clip[frame, ys, xs], clip[frame + 1, ys + v, xs + u])


def test_texture_is_static_but_for_the_mover_and_new_in_each_clip() -> None:
    scenes = lawful_scenes(WORLD)
    clips = draw_clips(WORLD, scenes, 64, torch.Generator().manual_seed(1))
    assert torch.equal(clips.x[:, 1:], clips.x[:, 1:, :1].expand_as(clips.x[:, 1:]))
    pairs = torch.corrcoef(clips.x[:, 1, 0].flatten(1))
    assert pairs.fill_diagonal_(0).abs().max() < 0.6  # of 64 values: five standard deviations are 0.63
    assert clips.x[:, 1:].std() == pytest.approx(1, abs=0.05)


def test_a_caption_leaves_start_and_direction_open() -> None:
    scenes = lawful_scenes(WORLD)
    clips = draw_clips(WORLD, scenes, 4000, torch.Generator().manual_seed(2))
    texts = captions(WORLD)
    assert texts[0] == "cool square moves slowly"
    for caption, text in enumerate(texts):
        mine = clips.caption == caption
        assert scenes.place[clips.scene[mine]].unique(dim=0).shape[0] > 100
        warm = clips.x[mine, 0, 0].flatten(1).gather(1, scenes.place[clips.scene[mine], 0]).mean(1) > 0
        assert warm.all() if text.startswith("warm") else not warm.any()


def test_words_are_fixed_vectors_and_the_null_text_is_zeros() -> None:
    table = text_table(WORLD, 16)
    assert table.shape == (5, 4, 16)
    assert table[-1].abs().max() == 0
    assert torch.equal(table[0, 1], table[3, 1])  # "square"
    assert table[0, 0] @ table[1, 0] == 0  # cool and warm


def test_latents_have_unit_deviation_and_decode_to_what_was_encoded() -> None:
    clips = draw_clips(WORLD, lawful_scenes(WORLD), 500, torch.Generator().manual_seed(3))
    x = encode(WORLD, clips.x)
    assert x.std() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(decode(WORLD, x), clips.x)


def test_motion_latents_are_the_drawn_flow() -> None:
    scenes, code = lawful_scenes(WORLD), MotionCode(estimator="exact", curve="sqrt", scale=0.3)
    clips = draw_clips(WORLD, scenes, 16, torch.Generator().manual_seed(4))
    d = encode_motion(WORLD, scenes, clips.scene, cell_colours(WORLD, scenes, code), gain=0.5)
    rgb = (decode(WORLD, d / 0.5) * 40 + 128) / 255
    flow = rgb_to_flow(rgb.transpose(1, 2), code).transpose(1, 2)
    torch.testing.assert_close(flow, exact_flow(WORLD, scenes, clips.scene), atol=1e-4, rtol=0)


def test_a_world_too_small_for_its_mover_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a frame of at least 6 px"):
        WorldConfig(size_px=5, mover_px=4)
