"""Drawn motion against flows that are known: uniform motion, a rotation, and stillness."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from videojam.errors import VideoJamError
from videojam.motion.animation import write_animation
from videojam.motion.code import MotionCode
from videojam.motion.draw import DIM, DRAWINGS, arrows, enlarged, over, trails, wheel
from videojam.motion.trails import follow_points

HEIGHT, WIDTH, NUM_FRAMES = 96, 128, 6
GREY = 100
RED, CYAN = (255, 0, 0), (0, 255, 255)
"""Of motion to the right and to the left, in either style."""


def clip(num_frames: int = NUM_FRAMES) -> torch.Tensor:
    return torch.full((num_frames, 3, HEIGHT, WIDTH), GREY, dtype=torch.uint8)


def uniform(u: float, v: float = 0.0, num_frames: int = NUM_FRAMES) -> torch.Tensor:
    return torch.tensor([u, v]).view(1, 2, 1, 1).repeat(num_frames - 1, 1, HEIGHT, WIDTH)


def rotation(turn: float) -> torch.Tensor:
    """Flow of a turn by an angle about the middle in each frame, clockwise on the screen."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    x, y = columns - (WIDTH - 1) / 2, rows - (HEIGHT - 1) / 2
    u, v = x * math.cos(turn) - y * math.sin(turn) - x, x * math.sin(turn) + y * math.cos(turn) - y
    return torch.stack([u, v]).repeat(NUM_FRAMES - 1, 1, 1, 1)


@pytest.mark.parametrize(("style", "still"), [("value", 0), ("saturation", 255)])
def test_the_wheel_has_directions_around_and_stillness_in_the_middle(style, still):
    drawn = wheel(MotionCode(style=style), 101)
    assert drawn[:, 50, 50].tolist() == [still] * 3
    assert tuple(drawn[:, 50, 100].tolist()) == RED
    assert tuple(drawn[:, 50, 0].tolist()) == CYAN
    assert drawn[:, 100, 50].tolist() == [128, 255, 0]  # down


@pytest.mark.parametrize("style", ["value", "saturation"])
@pytest.mark.parametrize("how", ["arrows", "trails", "over"])
def test_what_is_still_is_drawn_as_it_is(how, style):
    frames = torch.randint(0, 256, (3, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    drawn = DRAWINGS[how](frames, torch.zeros(2, 2, HEIGHT, WIDTH), MotionCode(style=style))
    brightness = 1.0 if how == "over" else DIM
    assert torch.equal(drawn, (frames.float() * brightness).round().to(torch.uint8))


def test_colours_over_a_clip_are_screened_or_multiplied():
    """At m = 1 to the right (red): screened on grey it is red with grey; multiplied it is the grey's red."""
    fast = uniform(2 * MotionCode().full_scale_px(HEIGHT, WIDTH))
    assert over(clip(), fast, MotionCode())[2, :, 5, 5].tolist() == [255, GREY, GREY]
    assert over(clip(), fast, MotionCode(style="saturation"))[2, :, 5, 5].tolist() == [GREY, 0, 0]


@pytest.mark.parametrize(("u", "colour"), [(2.0, RED), (-2.0, CYAN)])
@pytest.mark.parametrize("code", [MotionCode(), MotionCode(style="saturation", curve="sqrt", scale=0.02)])
def test_an_arrow_reaches_from_its_point_to_where_the_flow_takes_it(u, colour, code):
    drawn = arrows(clip(), uniform(u), code, spacing_px=32, frames_ahead=5.0)
    row = (HEIGHT - 1) % 32 // 2 + 32
    start = (WIDTH - 1) % 32 // 2 + 32
    end = int(start + 5 * u)
    coloured = (drawn[0] == torch.tensor(colour, dtype=torch.uint8)[:, None, None]).all(0)[row]
    inside = range(min(start, end) + 1, max(start, end))
    assert all(coloured[x] for x in inside)
    dim = round(DIM * GREY)
    for x in (min(start, end) - 8, max(start, end) + 8):  # beyond both ends, and between two rows
        assert drawn[0, :, row, x].tolist() == [dim] * 3
    assert drawn[0, :, row + 16, start].tolist() == [dim] * 3


def test_arrows_have_one_length_over_the_clip_and_grow_with_speed():
    flow = uniform(1.0)
    flow[3:] *= 2
    drawn = arrows(clip(), flow, MotionCode(), spacing_px=32).int()
    red = (drawn[:, 0] - drawn[:, 1] > 150).sum((1, 2))
    assert red[0] == red[2] > 0
    assert red[3] == red[5] > 1.3 * red[0]  # the last frame has the last flow


def test_points_follow_a_rotation_on_circles():
    """After five turns of 0.1 rad each point is 0.5 rad further, as far from the middle as before."""
    ways = [way for way in follow_points(rotation(0.1), 16, every=100) if len(way.places) == NUM_FRAMES]
    assert len(ways) > 20
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    for way in ways:
        x, y = (way.places - middle).T
        radii, angles = np.hypot(x, y), np.unwrap(np.arctan2(y, x))
        np.testing.assert_allclose(radii, radii[0], rtol=1e-4)
        np.testing.assert_allclose(angles - angles[0], 0.1 * np.arange(NUM_FRAMES), atol=1e-4)


def test_a_point_that_leaves_ends_and_another_takes_its_cell():
    """At 16 px a frame to the right the first column's cell is empty one frame later."""
    ways = follow_points(uniform(16.0), 16, every=1)
    columns = WIDTH // 16
    first = [way for way in ways if way.first == 0]
    assert len(first) == columns * HEIGHT // 16
    lengths = sorted({len(way.places) for way in first})
    assert lengths == [
        2,
        3,
        4,
        5,
        6,
    ]  # the last column leaves at once; the clip ends before the first ones do
    later = [way for way in ways if way.first == 1]
    assert {tuple(way.places[0]) for way in later} == {(8.0, 8.0 + 16 * row) for row in range(HEIGHT // 16)}


def test_a_trail_shows_where_its_point_came_from():
    drawn = trails(clip(), uniform(4.0), MotionCode(), spacing_px=48, num_frames=3)
    row, start = 24, 24
    reds = [(frame[0, row] == 255) & (frame[1, row] == 0) for frame in drawn]
    assert not reds[0].any()
    for frame, reach in ((2, 8), (3, 12), (5, 12)):
        now = start + 4 * frame
        assert all(reds[frame][now - reach + 1 : now - 4])
        assert not reds[frame][now - reach - 4 : now - reach - 2].any()
        assert drawn[frame, :, row, now].tolist() == [255, 255, 255]  # the point itself


@pytest.mark.parametrize("how", DRAWINGS)
def test_flow_of_another_clip_is_refused(how):
    with pytest.raises(VideoJamError, match="5 flows of 128×96 px"):
        DRAWINGS[how](clip(), uniform(1.0, num_frames=4), MotionCode())
    broken = uniform(1.0)
    broken[2, 0, 10, 10] = float("nan")
    with pytest.raises(VideoJamError, match="NaN"):
        DRAWINGS[how](clip(), broken, MotionCode())


@pytest.mark.parametrize("how", DRAWINGS)
def test_two_frames_and_tiny_ones_can_be_drawn(how):
    frames = torch.zeros(2, 3, 2, 4, dtype=torch.uint8)
    assert DRAWINGS[how](frames, torch.ones(1, 2, 2, 4), MotionCode()).shape == frames.shape


def test_a_clip_is_enlarged_with_its_flow():
    frames, flow = enlarged(clip(2), uniform(1.5, num_frames=2), 3)
    assert frames.shape == (2, 3, 3 * HEIGHT, 3 * WIDTH)
    assert flow.shape == (1, 2, 3 * HEIGHT, 3 * WIDTH)
    assert flow[0, :, 7, 7].tolist() == [4.5, 0]


@pytest.mark.parametrize(
    ("name", "fps", "unit_ms"), [("a.webp", 24, 1), ("a.gif", 24, 10), ("b.GIF", 12.5, 10)]
)
def test_an_animation_keeps_the_frame_rate(name, fps, unit_ms, tmp_path):
    """24 fps is no whole number of ms a frame: no frame is off by more than half a unit."""
    frames = torch.stack([torch.full((3, 16, 20), 10 * i, dtype=torch.uint8) for i in range(12)])
    path = write_animation(tmp_path / "new" / name, frames, fps, quality=None)
    with Image.open(path) as picture:
        assert (picture.n_frames, picture.size, picture.info["loop"]) == (12, (20, 16), 0)
        now = 0
        for i in range(12):
            picture.seek(i)
            picture.load()
            assert abs(now - 1000 * i / fps) <= unit_ms / 2
            now += picture.info["duration"]
            assert np.abs(np.array(picture.convert("RGB")).astype(int) - 10 * i).max() <= 1


def test_an_animation_that_can_not_be_is_refused_and_leaves_nothing(tmp_path):
    frames = clip(3)
    for name, some, fps, match in (
        ("a.png", frames, 8, "webp"),
        ("a.gif", frames, 60, "50 fps"),
        ("a.webp", frames[:0], 8, "at least one frame"),
        ("a.webp", frames, 0, "frame rate"),
        ("a.webp", frames, float("nan"), "frame rate"),
    ):
        with pytest.raises(VideoJamError, match=match):
            write_animation(tmp_path / "new" / name, some, fps)
    assert list(tmp_path.iterdir()) == []
