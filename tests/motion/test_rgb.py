"""Flow ↔ RGB (Eq. 5) against colours known from the mathematics."""

from __future__ import annotations

import colorsys
import math

import pytest
import torch

from videojam.errors import VideoJamError
from videojam.motion.code import MotionCode
from videojam.motion.colours import CURVES, LOG_GAIN, STYLES
from videojam.motion.rgb import BLOCK_PX, flow_to_rgb, flow_to_rgb8, magnitude_report, rgb_to_flow

# Diagonal 50 px, so that m = 1 is 7.5 px/frame at s = 0.15.
HEIGHT, WIDTH, FULL_PX = 30, 40, 7.5

HALF = math.sqrt(0.5)
DIRECTIONS = {  # (u, v) of length 1, v down: hue runs clockwise on the screen
    "right is red": ((1, 0), (1, 0, 0)),
    "60° is yellow": ((0.5, math.sqrt(0.75)), (1, 1, 0)),
    "down is chartreuse": ((0, 1), (0.5, 1, 0)),
    "135° is a green": ((-HALF, HALF), (0, 1, 0.25)),
    "left is cyan": ((-1, 0), (0, 1, 1)),
    "up is violet": ((0, -1), (0.5, 0, 1)),
    "-60° is magenta": ((0.5, -math.sqrt(0.75)), (1, 0, 1)),
}


def uniform_flow(u: float, v: float) -> torch.Tensor:
    return torch.tensor([u, v], dtype=torch.float32).view(2, 1, 1).expand(2, HEIGHT, WIDTH)


def random_flow(*batch: int, height: int = HEIGHT, width: int = WIDTH, most: float = 1.0) -> torch.Tensor:
    """Directions uniform, speeds uniform up to `most` of what is drawn as m = 1."""
    generator = torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(*batch, 1, height, width, generator=generator)
    speed = most * MotionCode().full_scale_px(height, width)
    speed = speed * torch.rand(*batch, 1, height, width, generator=generator)
    return torch.cat([speed * angle.cos(), speed * angle.sin()], dim=-3)


@pytest.mark.parametrize(("direction", "colour"), DIRECTIONS.values(), ids=DIRECTIONS.keys())
@pytest.mark.parametrize("m", [1.0, 0.4])
def test_hue_is_the_direction(direction, colour, m):
    flow = uniform_flow(m * FULL_PX * direction[0], m * FULL_PX * direction[1])
    colour = torch.tensor(colour, dtype=torch.float32)
    on_black = flow_to_rgb(flow, MotionCode(style="value"))[:, 5, 7]
    on_white = flow_to_rgb(flow, MotionCode(style="saturation"))[:, 5, 7]
    torch.testing.assert_close(on_black, m * colour, atol=2e-6, rtol=0)
    torch.testing.assert_close(on_white, 1 - m * (1 - colour), atol=2e-6, rtol=0)


@pytest.mark.parametrize("style", STYLES)
def test_agrees_with_the_standard_librarys_hsv(style):
    flow = random_flow(most=1.3)
    rgb = flow_to_rgb(flow, MotionCode(style=style))
    for y, x in [(0, 0), (3, 17), (29, 39), (11, 2), (20, 31), (8, 8)]:
        u, v = flow[:, y, x].tolist()
        m = min(1.0, math.hypot(u, v) / FULL_PX)
        hue = (math.atan2(v, u) / (2 * math.pi)) % 1
        expected = colorsys.hsv_to_rgb(hue, 1, m) if style == "value" else colorsys.hsv_to_rgb(hue, m, 1)
        assert rgb[:, y, x].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("style", "level"), [("value", 0), ("saturation", 255)])
@pytest.mark.parametrize("curve", CURVES)
def test_static_is_black_or_white(style, level, curve):
    video = flow_to_rgb8(torch.zeros(2, 2, 8, 8), MotionCode(style=style, curve=curve))
    assert video.unique().tolist() == [level]


@pytest.mark.parametrize(
    ("curve", "drawn"),
    [("linear", 0.25), ("sqrt", 0.5), ("log", math.log1p(LOG_GAIN / 4) / math.log1p(LOG_GAIN))],
)
def test_curve(curve, drawn):
    flow = uniform_flow(FULL_PX / 4, 0)
    assert float(flow_to_rgb(flow, MotionCode(curve=curve))[0, 0, 0]) == pytest.approx(drawn, abs=1e-6)


def test_speed_beyond_full_scale_is_drawn_as_full_scale():
    code = MotionCode()
    for speed in (7.5, 8.0, 1e30):
        assert flow_to_rgb(uniform_flow(-speed, 0), code)[:, 0, 0].tolist() == pytest.approx(
            [0, 1, 1], abs=1e-6
        )


def test_scale_is_the_part_of_the_diagonal():
    assert MotionCode(scale=0.15).full_scale_px(480, 832) == pytest.approx(144.08, abs=0.01)
    assert float(flow_to_rgb(uniform_flow(5.0, 0), MotionCode(scale=0.2))[0, 0, 0]) == pytest.approx(0.5)


def quantisation_bound(speed: torch.Tensor, code: MotionCode) -> torch.Tensor:
    """Largest flow error, in px/frame, when each channel is off by half a level.

    With half a level e and drawn magnitude g: m is read from a channel, so g is off by e and the speed by
    (dm/dg)·e; the hue within its sixth is a ratio of channels, off by at most 2e/g of 60°, which moves the
    flow's tip by m·(π/3)·2e/g. Second order: e² of the steepest curve.
    """
    e = 0.5 / 255
    m = (speed / FULL_PX).clamp(max=1)
    k = LOG_GAIN
    if code.curve == "linear":
        g, slope, bend = m, torch.ones_like(m), 0.0
    elif code.curve == "sqrt":
        g, slope, bend = m.sqrt(), 2 * m.sqrt(), 1.0
    else:
        g = torch.log1p(k * m) / math.log1p(k)
        slope, bend = (1 + k * m) * math.log1p(k) / k, math.log1p(k) ** 2 * (1 + k) / k
    radial = slope * e + bend * e**2
    tangential = (m + radial) * (math.pi / 3) * 2 * e / (g - e).clamp_min(e)
    return FULL_PX * (torch.hypot(radial, tangential) + 1e-5)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("curve", CURVES)
def test_inverse_up_to_8_bit_rounding(style, curve):
    code = MotionCode(style=style, curve=curve)
    flow = random_flow(4, most=0.999)
    back = rgb_to_flow(flow_to_rgb8(flow, code).float() / 255, code)
    error = (back - flow).norm(dim=1)
    bound = quantisation_bound(flow.norm(dim=1), code)
    assert bool((error <= bound).all()), float((error / bound).max())
    assert float(error.max()) > 0.001  # 8 bits do lose something: the bound is not vacuous


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("curve", CURVES)
def test_inverse_of_unrounded_colours_is_exact(style, curve):
    code = MotionCode(style=style, curve=curve)
    flow = random_flow(2, most=0.999)
    torch.testing.assert_close(rgb_to_flow(flow_to_rgb(flow, code), code), flow, atol=2e-4, rtol=0)


@pytest.mark.parametrize("shape", [(3, 260, 300), (70, 32, 40)], ids=["frames above a block", "frames below"])
def test_blocks_leave_no_seams(shape):
    """Each pixel's colour depends on its own flow alone: compare with one frame at a time, transposed."""
    assert shape[1] * shape[2] > BLOCK_PX or shape[0] * shape[1] * shape[2] > BLOCK_PX
    flow = random_flow(shape[0], height=shape[1], width=shape[2])
    code = MotionCode()
    drawn = flow_to_rgb(flow, code)
    turned = torch.stack([flow_to_rgb(frame.transpose(1, 2), code).transpose(1, 2) for frame in flow])
    torch.testing.assert_close(drawn, turned, atol=1e-6, rtol=0)
    assert torch.equal(flow_to_rgb8(flow, code), (255 * drawn + 0.5).to(torch.uint8))
    torch.testing.assert_close(rgb_to_flow(drawn, code), flow, atol=1e-3, rtol=0)


def test_any_batch_shape_and_memory_layout():
    flow = random_flow(2, 3)
    strided = flow.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    code = MotionCode()
    assert flow_to_rgb(flow, code).shape == (2, 3, 3, HEIGHT, WIDTH)
    assert torch.equal(flow_to_rgb(strided, code), flow_to_rgb(flow, code))
    assert torch.equal(flow_to_rgb(flow[1, 2], code), flow_to_rgb(flow, code)[1, 2])
    assert flow_to_rgb(flow[:, :0], code).shape == (2, 0, 3, HEIGHT, WIDTH)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_flow_that_is_not_finite_is_refused(bad):
    flow = torch.zeros(3, 2, 256, 256)
    flow[-1, -1, -1, -1] = bad
    for function in (flow_to_rgb, flow_to_rgb8, magnitude_report):
        with pytest.raises(VideoJamError, match="NaN or infinity"):
            function(flow, MotionCode())


def test_colours_that_are_not_finite_are_refused():
    rgb = torch.zeros(1, 3, 8, 8)
    rgb[0, 1, 2, 3] = math.nan
    with pytest.raises(VideoJamError, match="NaN or infinity"):
        rgb_to_flow(rgb, MotionCode())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("curve", CURVES)
def test_soft_colours_decode_to_finite_flow(style, curve):
    code = MotionCode(style=style, curve=curve)
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(1, 1, HEIGHT, WIDTH, generator=generator).expand(1, 3, HEIGHT, WIDTH)
    wild = 3 * torch.randn(1, 3, HEIGHT, WIDTH, generator=generator)
    flow = rgb_to_flow(torch.cat([grey, wild, torch.zeros_like(grey), torch.ones_like(grey)]), code)
    assert bool(torch.isfinite(flow).all())
    assert float(flow.norm(dim=1).max()) <= FULL_PX * (1 + 1e-5)


def test_a_faint_colour_cast_moves_the_flow_by_no_more_than_itself():
    """Noise of one level on a static video reads as at most one level's speed, in whatever direction."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 2, (2, 3, HEIGHT, WIDTH), generator=generator) / 255
    for code, rgb in ((MotionCode(), noise), (MotionCode(style="saturation"), 1 - noise)):
        assert float(rgb_to_flow(rgb, code).norm(dim=1).max()) <= FULL_PX / 255 * 1.001


def test_magnitude_report_of_known_speeds():
    """1,200 px: 600 static, 580 at m = 0.2, 20 at m = 0.8."""
    flow = torch.zeros(2, HEIGHT * WIDTH)
    flow[1, 600:1180], flow[0, 1180:] = 0.2 * FULL_PX, -0.8 * FULL_PX
    flow = flow[:, torch.randperm(1200, generator=torch.Generator().manual_seed(0))].view(2, HEIGHT, WIDTH)
    report = magnitude_report(flow, MotionCode())
    assert report.median in (0.0, pytest.approx(0.2))  # the halves are equal: either side of the middle
    assert report.p99 == pytest.approx(0.8)
    assert report.warning is None
    assert magnitude_report(flow, MotionCode(curve="sqrt")).p99 == pytest.approx(math.sqrt(0.8))


def test_magnitude_report_warns_of_nearly_invisible_motion():
    """Three px at 480×832 are m = 0.0208, five of 255 levels (method.md)."""
    flow = torch.zeros(1, 2, 480, 832)
    flow[:, 0] = 3
    report = magnitude_report(flow, MotionCode())
    assert report.median == pytest.approx(3 / (0.15 * math.hypot(480, 832)), rel=1e-5)
    assert report.warning is not None
    assert "5 of 255" in report.warning
    assert "scale" in report.warning
    assert "sqrt" in report.warning
    assert magnitude_report(flow, MotionCode(curve="sqrt")).warning is None
    assert magnitude_report(flow, MotionCode(scale=0.02)).warning is None


def test_magnitude_report_of_nothing_is_an_error():
    with pytest.raises(VideoJamError, match="two frames"):
        magnitude_report(torch.zeros(0, 2, 8, 8), MotionCode())
