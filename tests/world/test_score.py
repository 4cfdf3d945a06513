"""The scorer passes the truth, forgives soft pixels, and rejects broken motion, in words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from videojam.errors import VideoJamError
from videojam.world import KINDS, WorldConfig, sample_clip, score_clip, validation_table
from videojam.world.background import draw_background
from videojam.world.caption import write_caption
from videojam.world.clip import make_scene
from videojam.world.damage import APPEARANCE_DAMAGE, TEMPORAL_DAMAGE, blur
from videojam.world.render import draw
from videojam.world.scene import Scene

NUM_CLIPS = 16


@pytest.mark.parametrize("kind", KINDS)
def test_validation_table_holds(kind: str) -> None:
    rows = validation_table(NUM_CLIPS, seed=500, config=WorldConfig(kinds=(kind,)))
    rates = {row.damage: row.coherent for row in rows}
    assert rates["none"] == 1.0
    assert all(rates[damage] >= 0.95 for damage in APPEARANCE_DAMAGE), rates
    assert all(rates[damage] <= 0.10 for damage in TEMPORAL_DAMAGE), rates
    follows = {row.damage: row.follows_prompt for row in rows}
    assert follows["none"] == follows["noise"] == follows["blur"] == 1.0
    assert all(row.as_required for row in rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "config",
    [
        WorldConfig(texture=1.0, clutter=12),
        WorldConfig(height=96, width=128, num_frames=17),
        WorldConfig(height=32, width=32),
    ],
    ids=["grain and clutter", "96x128x17", "32x32"],
)
def test_truth_passes_in_other_worlds(kind: str, config: WorldConfig) -> None:
    for seed in range(4):
        clip = sample_clip(seed, config, kind)
        score = score_clip(clip.video, clip.caption)
        assert score.reasons == ()
        assert score.coherent
        assert score.follows_prompt


def test_score_sees_the_motion_that_was_drawn() -> None:
    config = WorldConfig()
    scene, _ = make_scene(21, config, "wheel")
    clip = sample_clip(21, config, "wheel")
    turn = scene.parts[0].angle_rad
    measured = score_clip(clip.video, clip.caption).measures["turn_rate"]
    assert measured == pytest.approx(turn[1] - turn[0], abs=0.002)
    scene, _ = make_scene(21, config, "collision")
    clip = sample_clip(21, config, "collision")
    path = scene.parts[0].centre_px
    measures = score_clip(clip.video, clip.caption).measures
    assert measures["velocity_x"] == pytest.approx(path[1, 0] - path[0, 0], abs=0.05)
    assert measures["velocity_y"] == pytest.approx(path[1, 1] - path[0, 1], abs=0.05)


def _render(scene: Scene, seed: int = 0) -> torch.Tensor:
    config = WorldConfig()
    background = draw_background(np.random.default_rng(seed), config)
    return torch.from_numpy(draw(scene, background, config.num_frames).video)


def test_legs_in_step_are_the_same_leg_twice() -> None:
    scene, _ = make_scene(1, WorldConfig(), "gait")
    back, front, torso = scene.parts
    shift = (front.centre_px - torso.centre_px)[0, 0] - (back.centre_px - torso.centre_px)[0, 0]
    apart = 20.0 if shift > 0 else -20.0
    copy = dataclasses.replace(
        front, centre_px=back.centre_px + np.array([apart, 0]), angle_rad=back.angle_rad
    )
    score = score_clip(_render(Scene((back, copy, torso), scene.facts)), write_caption(scene.facts))
    assert not score.coherent
    assert "the legs swing together (same leg twice)" in score.reasons


def test_one_leg_painted_twice_is_the_same_leg_twice() -> None:
    scene, _ = make_scene(1, WorldConfig(), "gait")
    back, front, torso = scene.parts
    parts = (back, dataclasses.replace(front, rgb=back.rgb), torso)
    score = score_clip(_render(Scene(parts, scene.facts)), write_caption(scene.facts))
    assert "one leg only (same leg twice)" in score.reasons
    assert not score.follows_prompt


@pytest.mark.parametrize("frames", [5, -5])
def test_ball_that_waits_behind_the_pillar_reappears_late(frames: int) -> None:
    config = WorldConfig()
    scene, _ = make_scene(9, config, "ball")
    ground, ball, pillar = scene.parts
    x = ball.centre_px[:, 0]
    hidden = abs(x - pillar.centre_px[:, 0]) < 3.0
    middle = int(hidden.nonzero()[0][0])
    step = x[1] - x[0]
    moved = ball.centre_px.copy()
    moved[middle:, 0] -= frames * step
    late = dataclasses.replace(ball, centre_px=moved)
    score = score_clip(_render(Scene((ground, late, pillar), scene.facts)), write_caption(scene.facts))
    assert not score.coherent
    assert any("reappears late" if frames > 0 else "reappears early" in reason for reason in score.reasons)


def test_two_balls_are_told() -> None:
    scene, _ = make_scene(9, WorldConfig(), "ball")
    ground, ball, pillar = scene.parts
    mirrored = ball.centre_px.copy()
    mirrored[:, 0] = 63 - mirrored[:, 0]
    second = dataclasses.replace(ball, centre_px=mirrored)
    scene = Scene((ground, ball, second, pillar), scene.facts)
    score = score_clip(_render(scene), write_caption(scene.facts))
    assert "there are two balls" in score.reasons


def test_inelastic_discs_lose_their_bounce() -> None:
    scene, _ = make_scene(3, WorldConfig(), "collision")
    first, second = scene.parts
    gap = ((first.centre_px - second.centre_px) ** 2).sum(axis=1) ** 0.5
    touch = int(gap.argmin())

    def stop(part):
        path = part.centre_px.copy()
        path[touch:] = path[touch]
        return dataclasses.replace(part, centre_px=path)

    score = score_clip(_render(Scene((stop(first), stop(second)), scene.facts)), write_caption(scene.facts))
    assert "the discs do not bounce elastically" in score.reasons


@pytest.mark.parametrize("kind", KINDS)
def test_another_caption_is_not_followed(kind: str) -> None:
    clip = sample_clip(12, kind=kind)
    own = set(make_scene(12, WorldConfig(), kind)[0].facts.colours)
    for other in KINDS:
        scenes = (make_scene(seed, WorldConfig(), other)[0] for seed in range(13, 40))
        facts = next(scene.facts for scene in scenes if not set(scene.facts.colours) <= own)
        assert not score_clip(clip.video, write_caption(facts)).follows_prompt


@pytest.mark.parametrize("kind", ["gait", "chain", "wheel"])
def test_right_colours_in_another_kind_are_not_followed(kind: str) -> None:
    three = ("gait", "chain", "wheel")
    scene, _ = make_scene(12, WorldConfig(), kind)
    for other in three:
        facts, _ = make_scene(12, WorldConfig(), other)
        caption = write_caption(dataclasses.replace(facts.facts, colours=scene.facts.colours))
        assert score_clip(_render(scene), caption).follows_prompt == (other == kind)


@pytest.mark.parametrize("kind", KINDS)
def test_autoencoder_like_softness_is_tolerated(kind: str) -> None:
    passed = 0
    for seed in range(8):
        clip = sample_clip(seed, kind=kind)
        faded = 128 + 0.75 * (blur(clip.video, 1.4).float() - 128)
        passed += score_clip(faded.clamp(0, 255).to(torch.uint8), clip.caption).coherent
    assert passed == 8


def test_empty_video_is_incoherent_and_does_not_follow() -> None:
    for kind in KINDS:
        score = score_clip(
            torch.full((25, 3, 64, 64), 128, dtype=torch.uint8), sample_clip(0, kind=kind).caption
        )
        assert not score.coherent
        assert not score.follows_prompt
        assert score.reasons


def test_caption_outside_the_grammar_is_refused() -> None:
    with pytest.raises(VideoJamError, match="grammar"):
        score_clip(sample_clip(0).video, "a dog runs")
