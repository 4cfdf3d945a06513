"""The world's clips: what a seed fixes, that the flow is the motion, and what parameters change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videojam.errors import VideoJamError
from videojam.world import KINDS, WorldConfig, sample_clip
from videojam.world.clip import make_scene
from videojam.world.palette import colour_rgb
from videojam.world.scene import Part


@pytest.mark.parametrize("kind", KINDS)
def test_clip_has_the_promised_shapes_and_depends_on_the_seed_alone(kind: str) -> None:
    clip, again, other = (sample_clip(seed, kind=kind) for seed in (3, 3, 4))
    assert clip.video.shape == (25, 3, 64, 64)
    assert clip.video.dtype == torch.uint8
    assert clip.flow.shape == (24, 2, 64, 64)
    assert clip.flow.dtype == torch.float32
    assert clip.moving.shape == (25, 64, 64)
    assert torch.equal(clip.video, again.video)
    assert torch.equal(clip.flow, again.flow)
    assert clip.caption == again.caption
    assert not torch.equal(clip.video, other.video)


def test_kinds_are_taken_in_turn() -> None:
    assert [sample_clip(seed).kind for seed in range(7)] == [*KINDS, *KINDS[:2]]
    two = WorldConfig(kinds=("ball", "wheel"))
    assert [sample_clip(seed, two).kind for seed in range(3)] == ["ball", "wheel", "ball"]


def test_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(VideoJamError, match="gait, chain, ball, wheel, collision"):
        sample_clip(0, kind="swim")


def _material_points(part: Part, along_px: float, across_px: float) -> np.ndarray:
    """Where a material point of a part is on each frame, straight from the pose."""
    cos, sin = np.cos(part.angle_rad), np.sin(part.angle_rad)
    offset = np.stack([cos * along_px - sin * across_px, sin * along_px + cos * across_px], -1)
    return part.centre_px + offset


@pytest.mark.parametrize("kind", KINDS)
def test_flow_carries_each_material_point_to_its_next_place(kind: str) -> None:
    config = WorldConfig()
    clip = sample_clip(11, config, kind)
    scene, _ = make_scene(11, config, kind)
    part = next(p for p in reversed(scene.parts) if p.moves)  # nothing but a pillar covers the topmost
    checked = 0
    for along, across in ((0.0, 0.0), (0.7 * part.half_length_px, 0.5 * part.radius_px)):
        path = _material_points(part, along, across)
        for i in range(24):
            x, y = np.rint(path[i]).astype(int)
            if not (0 <= x < 64 and 0 <= y < 64 and clip.moving[i, y, x]):
                continue
            flow = clip.flow[i, :, y, x].numpy()
            # The pixel's centre is up to 0.71 px from the point; turning makes at most that of a difference.
            turn = abs(part.angle_rad[i + 1] - part.angle_rad[i])
            assert np.abs(flow - (path[i + 1] - path[i])).max() < 0.75 * turn + 1e-4
            checked += 1
    assert checked >= 12


@pytest.mark.parametrize("kind", KINDS)
def test_warping_the_next_frame_back_by_the_flow_explains_moving_parts(kind: str) -> None:
    clip = sample_clip(5, WorldConfig(texture=0.0), kind)
    grid = torch.stack(torch.meshgrid(torch.arange(64), torch.arange(64), indexing="xy"), -1).float()
    target = grid + clip.flow.permute(0, 2, 3, 1)
    warped = torch.nn.functional.grid_sample(
        clip.video[1:].float(), target / 31.5 - 1, align_corners=True, padding_mode="border"
    )
    still = clip.video[:-1].float()
    moving = clip.moving[:-1]
    # The middle of the error: what the occluder takes away or parts cover has no counterpart to find.
    explained = (warped - still).abs().mean(dim=1)[moving].median()
    unexplained = (clip.video[1:].float() - still).abs().mean(dim=1)[moving].quantile(0.9)
    assert explained < 2.0
    assert unexplained > 20.0


@pytest.mark.parametrize("kind", KINDS)
def test_background_has_no_flow_and_stands_still(kind: str) -> None:
    clip = sample_clip(8, kind=kind)
    still = ~clip.moving[:-1]
    assert clip.flow.abs().amax(dim=1)[still].max() == 0
    assert clip.flow.abs().amax(dim=1)[~still].max() > 0.4
    edge = torch.nn.functional.max_pool2d(clip.moving.float(), 5, stride=1, padding=2).amax(dim=0) > 0
    assert torch.equal(clip.video[0][:, ~edge], clip.video[-1][:, ~edge])


@pytest.mark.parametrize("kind", KINDS)
def test_parts_wear_the_colours_of_the_caption(kind: str) -> None:
    config = WorldConfig()
    clip, (scene, _) = sample_clip(2, config, kind), make_scene(2, config, kind)
    for name in scene.facts.colours:
        assert name in clip.caption.split()
        exact = torch.from_numpy(np.rint(colour_rgb(name))).view(1, 3, 1, 1)
        same = ((clip.video.float() - exact).abs() <= 1).all(dim=1)
        assert same.sum(dim=(1, 2)).float().median() > 20


def test_texture_and_clutter_change_the_background_only() -> None:
    plain, grain, full = (
        sample_clip(4, WorldConfig(texture=t, clutter=c), "wheel") for t, c in ((0, 0), (1, 0), (0, 12))
    )
    assert torch.equal(plain.flow, grain.flow)
    assert torch.equal(plain.flow, full.flow)

    def roughness(video: torch.Tensor) -> float:
        return float((video[0, 0, :, 1:].float() - video[0, 0, :, :-1].float()).abs().median())

    assert roughness(grain.video) > 5 * max(roughness(plain.video), 0.5)
    assert (full.video != plain.video)[0].float().mean() > 0.02
    chroma = full.video[0].float().amax(dim=0) - full.video[0].float().amin(dim=0)
    assert chroma[~full.moving[0]].median() < 16  # distractors are grey


def test_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="textures"):
        WorldConfig(textures=0.5)
