"""Each kind of motion obeys its law, carries its exact flow, and is what the judge says it is."""

from __future__ import annotations

import pytest
import torch

from videojam.errors import VideoJamError
from videojam.world import WorldConfig, captions, draw_clips, exact_flow, judge, lawful_scenes, to_levels
from videojam.world.config import Kind
from videojam.world.damage import frozen, reversed_half, vanishing
from videojam.world.kinds import KIND_SCENES

WORLD = WorldConfig(kinds=tuple(KIND_SCENES))
SCENES = lawful_scenes(WORLD)
DISTINCT = SCENES.distinct()
CLIPS = draw_clips(WORLD, SCENES, 40, torch.Generator().manual_seed(0))


def of(kind: Kind) -> tuple[torch.Tensor, torch.Tensor]:
    """(x, y) of each cell `[K, F, P, 2]`, and whether it is hidden, of one kind in a world of its own."""
    scenes = lawful_scenes(WorldConfig(kinds=(kind,)))
    return torch.stack([scenes.place % 8, scenes.place // 8], dim=3), scenes.hidden


def test_kinds_are_few_enough_to_learn_and_about_equally_frequent() -> None:
    assert len(DISTINCT) < 2000
    counts = SCENES.kind.bincount()
    assert counts.max() < 2 * counts.min()


def test_a_world_of_bounces_is_the_same_beside_other_kinds() -> None:
    alone = lawful_scenes(WorldConfig())
    beside = SCENES[SCENES.kind == 0]
    assert torch.equal(alone.place, beside.place[..., :4])
    assert beside.hidden[..., 4:].all()


def test_a_mover_goes_behind_the_pillar_and_is_seen_on_both_sides() -> None:
    scenes = lawful_scenes(WorldConfig(kinds=("pillar",)))
    at, hidden = of("pillar")
    assert torch.equal(scenes.front.gather(1, scenes.place.flatten(1)), hidden.flatten(1))
    assert hidden.any(2).any(1).all()
    assert not hidden[:, 0].any()
    assert (scenes.front.sum(1) == 2 * 8).all()
    left = scenes.front.float().argmax(1)
    x = at[:, :, 0, 0] - left[:, None]
    assert ((x <= -2).any(1) & (x >= 2).any(1)).all()


def test_two_movers_keep_momentum_and_speed_when_they_meet_and_never_overlap() -> None:
    scenes = lawful_scenes(WorldConfig(kinds=("exchange",)))
    at, _ = of("exchange")
    first, second = at[:, :, 0], at[:, :, 4]
    assert ((first - second).abs().amax(2) >= 2).all()
    assert (scenes.sign[:, :4] == 1).all()
    assert (scenes.sign[:, 4:] == -1).all()
    steps = torch.stack([first, second], dim=2).diff(dim=1).sum(3)  # along the one axis in which they move
    before, after = steps[:, :-1], steps[:, 1:]
    swapped = (before.flip(2) == after).all(2) & (before != after).any(2)
    assert swapped.any(1).all()
    same = (before == after).all(2)
    at_wall = ((at == 0) | (at == 7)).flatten(2).any(2)[:, 1:-1]
    assert (same | swapped | at_wall).all()


def test_a_walker_s_feet_pass_each_other_in_turn_under_its_body() -> None:
    at, hidden = of("walker")
    near, far, middle = at[:, :, 0, 0], at[:, :, 1, 0], at[:, :, 3, 0]
    assert torch.equal(near - middle, middle - far)
    apart = (near - far).abs() == 2
    assert torch.equal(apart[:, 1:], ~apart[:, :-1])
    assert torch.equal(hidden[..., 1], ~apart)
    facing = at[:, 1:, 3, 0] - at[:, :-1, 3, 0]
    lead = ((near - far)[:, :-1] * facing).sign()
    first, last = lead[:, :3], lead[:, 2:]  # every second pose is apart, and then the other foot leads
    assert ((first * last) == -(first * last).abs()).all()
    assert (at[..., :2, 1] == at[..., 3:4, 1] + 1).all()


def test_a_rotor_s_hand_goes_round_its_hub_by_equal_steps() -> None:
    at, _ = of("rotor")
    assert (at[:, 1:, 0] == at[:, :-1, 0]).all()
    arm = (at[:, :, 2] - at[:, :, :1].squeeze(2)).double()
    angle = torch.atan2(arm[..., 1], arm[..., 0])
    turn = (angle.diff(dim=1) / (torch.pi / 4)).round().long() % 8
    assert (turn == turn[:, :1]).all()
    assert set(turn.unique().tolist()) == {1, 2, 6, 7}


def test_flow_carries_what_shows_to_where_it_shows_next() -> None:
    flow, red = exact_flow(WORLD, SCENES, CLIPS.scene), CLIPS.x[:, 0]
    shown = SCENES[CLIPS.scene].covered().unflatten(2, (8, 8))
    arrived = torch.zeros(())
    for clip in range(len(red)):
        for frame in range(WORLD.num_frames - 1):
            ys, xs = flow[clip, :, frame].abs().sum(0).nonzero().T
            u, v = flow[clip, :, frame, ys, xs].long()
            there = shown[clip, frame + 1, ys + v, xs + u]
            same = red[clip, frame, ys, xs] == red[clip, frame + 1, ys + v, xs + u]
            # behind the pillar and behind the near foot a cell is hidden there
            kind = SCENES.kind[CLIPS.scene[clip]]
            assert same[there].all() if WORLD.kinds[kind] != "walker" else same.float().mean() > 0.5
            arrived += there.sum()
    assert arrived > 500
    assert (flow.abs().sum(1) * ~shown).max() == 0


def test_truth_is_coherent_and_as_asked_whatever_its_kind() -> None:
    verdict = judge(WORLD, DISTINCT, to_levels(CLIPS.x), CLIPS.caption)
    assert verdict.as_asked.all()
    assert torch.equal(DISTINCT.covered()[verdict.scene], SCENES.covered()[CLIPS.scene])
    assert len(captions(WORLD)) == 20


def test_a_judge_of_one_chunk_or_many_says_the_same() -> None:
    video = frozen(WORLD, SCENES, CLIPS, torch.Generator())[:8]
    one, two = (judge(WORLD, DISTINCT, video, CLIPS.caption[:8], chunk=chunk) for chunk in (1, 3))
    assert torch.equal(one.failed, two.failed)
    assert not one.coherent.any()


def test_without_its_pillar_a_hidden_mover_is_not_explained() -> None:
    mine = SCENES.kind[CLIPS.scene] == WORLD.kinds.index("pillar")
    video = to_levels(CLIPS.x)[mine]
    video[:, 2] = 128
    verdict = judge(WORLD, DISTINCT, video, CLIPS.caption[mine])
    assert mine.sum() > 2
    assert not verdict.coherent.any()


def test_a_mover_that_vanishes_is_rejected_even_where_one_may_hide() -> None:
    video = vanishing(WORLD, SCENES, CLIPS, torch.Generator().manual_seed(1))
    assert not judge(WORLD, DISTINCT, video, CLIPS.caption).coherent.any()


def test_a_reversed_half_passes_only_where_the_clip_is_another_lawful_one() -> None:
    video = reversed_half(WORLD, SCENES, CLIPS, torch.Generator())
    verdict = judge(WORLD, DISTINCT, video, CLIPS.caption)
    painted = SCENES[CLIPS.scene].covered()
    painted[:, 3:] = painted[:, 3:].flip(1)
    found = DISTINCT[verdict.scene].covered()
    assert torch.equal(verdict.coherent, (found == painted).flatten(1).all(1))
    assert 0 < verdict.coherent.float().mean() < 0.5


@pytest.mark.parametrize("seed", range(2))
def test_damage_upon_damage_of_any_kind_never_raises_the_share_of_explained_frames(seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    x = draw_clips(WORLD, SCENES, 10, chance).x
    before = torch.ones(10)
    for frame in torch.randperm(WORLD.num_frames, generator=chance).tolist():
        x[:, :, frame] += 2 * torch.randn(x[:, :, frame].shape, generator=chance)
        now = judge(WORLD, DISTINCT, to_levels(x), torch.zeros(10, dtype=torch.long)).explained
        assert (now <= before).all()
        before = now
    assert before.mean() < 0.2


def test_a_kind_that_has_no_lawful_scene_is_refused() -> None:
    with pytest.raises(VideoJamError, match="kind 'exchange' has a lawful scene, found 6 frames of 5 px"):
        lawful_scenes(WorldConfig(size_px=5, kinds=("exchange",)))
