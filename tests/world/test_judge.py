"""The judge by analysis by synthesis: what it accepts, rejects, and that damage never helps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from videojam.world import REASONS, Clips, WorldConfig, draw_clips, judge, lawful_scenes, to_levels
from videojam.world.damage import MOTION, shuffled
from videojam.world.validation import validation_table

WORLD = WorldConfig()
SCENES = lawful_scenes(WORLD)
DISTINCT = SCENES.distinct()


@pytest.fixture(scope="module")
def clips() -> Clips:
    return draw_clips(WORLD, SCENES, 48, torch.Generator().manual_seed(5))


def test_true_clips_are_coherent_and_as_asked(clips: Clips) -> None:
    verdict = judge(WORLD, DISTINCT, to_levels(clips.x), clips.caption)
    assert verdict.coherent.all()
    assert verdict.as_asked.all()
    assert (verdict.explained == 1).all()
    assert torch.equal(DISTINCT.place[verdict.scene], SCENES.place[clips.scene])


def test_a_clip_of_another_caption_is_coherent_but_not_as_asked(clips: Clips) -> None:
    verdict = judge(WORLD, DISTINCT, to_levels(clips.x), (clips.caption + 1) % 4)
    assert verdict.coherent.all()
    assert not verdict.as_asked.any()


def test_a_faint_mover_is_absent_unless_it_is_asked_for() -> None:
    faint = WorldConfig(offset=0.7, mover_texture=0)  # the judge asks for half of 2
    clips = draw_clips(faint, SCENES, 16, torch.Generator().manual_seed(7))
    strict = judge(WORLD, DISTINCT, to_levels(clips.x), clips.caption)
    assert not strict.coherent.any()
    lenient = judge(WORLD, DISTINCT, to_levels(clips.x), clips.caption, faintest=0.35)
    assert lenient.coherent.all()
    assert torch.equal(DISTINCT.place[lenient.scene], SCENES.place[clips.scene])


def test_faint_noise_is_borne_and_every_damage_of_motion_is_rejected() -> None:
    table = validation_table(WORLD, torch.Generator().manual_seed(6), num_clips=32)
    assert table["truth"]["coherent"] == table["faint_noise"]["coherent"] == 1
    for damage in MOTION:
        # a shuffle can be another lawful clip; a second half that turns back at its middle is its own reverse
        limit = {"reversed_half": 0.4, "shuffled": 0.1, "split": 0.1}.get(damage.__name__, 0.03)
        assert table[damage.__name__]["coherent"] <= limit, damage.__name__


def test_a_frame_says_why_it_is_not_explained(clips: Clips) -> None:
    def reasons(x: Tensor) -> list[Tensor]:
        return list(judge(WORLD, DISTINCT, to_levels(x), clips.caption).failed.unbind(2))

    broken = clips.x.clone()
    broken[:, 2, 3] = broken[:, 2, 3].flip(1)  # blue of one frame upside down
    ground, mover, colour = reasons(broken)
    assert REASONS == ("ground", "mover", "colour")
    assert colour[:, 3].all()
    assert not colour[:, :3].any()
    assert not ground.any()
    assert not mover.any()
    gone = clips.x.clone()
    gone[:, 0, 3] = torch.where(gone[:, 0, 3].abs() > 0, 0.0, 0.0)
    ground, mover, colour = reasons(gone)
    assert ground[:, 3].float().mean() > 0.9
    assert mover[:, 3].all()
    assert not colour.any()


def _noised(x: Tensor, frame: int, chance: torch.Generator) -> Tensor:
    x[:, :, frame] += 2 * torch.randn(x[:, :, frame].shape, generator=chance)
    return x


def _blacked(x: Tensor, frame: int, chance: torch.Generator) -> Tensor:
    x[:, :, frame] = 0
    return x


def _scrambled(x: Tensor, frame: int, chance: torch.Generator) -> Tensor:
    pixels = torch.randperm(WORLD.size_px**2, generator=chance)
    x[:, :, frame] = x[:, :, frame].flatten(2)[..., pixels].unflatten(2, x.shape[3:])
    return x


@pytest.mark.parametrize("seed", range(2))
def test_damage_upon_damage_never_raises_the_share_of_explained_frames(seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    x = draw_clips(WORLD, SCENES, 16, chance).x.clone()
    kinds: list[Callable[[Tensor, int, torch.Generator], Tensor]] = [_noised, _blacked, _scrambled]
    before = torch.ones(16)
    for frame in torch.randperm(WORLD.num_frames, generator=chance).tolist():
        kind = kinds[int(torch.randint(len(kinds), (1,), generator=chance))]
        x = kind(x, frame, chance)
        now = judge(WORLD, DISTINCT, to_levels(x), torch.zeros(16, dtype=torch.long)).explained
        assert (now <= before).all()
        before = now
    assert before.mean() < 0.2


def test_a_shuffle_is_never_the_identity(clips: Clips) -> None:
    video = shuffled(WORLD, SCENES, clips, torch.Generator().manual_seed(7))
    assert (video != to_levels(clips.x)).flatten(1).any(1).all()
