"""T-1 flows ↔ the T-frame motion video."""

from __future__ import annotations

import pytest
import torch

from videojam.errors import VideoJamError
from videojam.motion.code import MotionCode
from videojam.motion.flow import decode_motion_video, motion_video, pad_flow

SPEEDS_PX = (1.0, 2.0, 3.0)


def three_flows() -> torch.Tensor:
    """Flow i points right at i + 1 px/frame (m = 1 is 7.5)."""
    flow = torch.zeros(3, 2, 30, 40)
    flow[:, 0] = torch.tensor(SPEEDS_PX).view(3, 1, 1)
    return flow


@pytest.mark.parametrize(("padding", "speeds"), [("first", [1, 1, 2, 3]), ("last", [1, 2, 3, 3])])
def test_padding(padding, speeds):
    padded = pad_flow(three_flows(), padding)
    assert padded[:, 0, 4, 5].tolist() == speeds
    video = motion_video(three_flows(), MotionCode(padding=padding))
    assert video.dtype == torch.uint8
    assert video[:, 0, 4, 5].tolist() == [round(255 * s / 7.5) for s in speeds]
    assert video[:, 1:].max() == 0


@pytest.mark.parametrize("padding", ["first", "last"])
@pytest.mark.parametrize("style", ["value", "saturation"])
def test_decoding_drops_the_padded_frame(padding, style):
    code = MotionCode(padding=padding, style=style)
    video = motion_video(three_flows(), code)
    for drawn in (video, video.float() / 255):
        flow = decode_motion_video(drawn, code)
        assert flow.shape == (3, 2, 30, 40)
        torch.testing.assert_close(flow, three_flows(), atol=7.5 / 255, rtol=0)


def test_wrong_padding_is_seen_in_the_result():
    video = motion_video(three_flows(), MotionCode(padding="first"))
    misread = decode_motion_video(video, MotionCode(padding="last"))
    assert misread[:, 0, 0, 0].tolist() == pytest.approx([1, 1, 2], abs=7.5 / 255)


def test_a_single_frame_has_no_flow():
    for function in (
        lambda: pad_flow(torch.zeros(0, 2, 8, 8), "first"),
        lambda: motion_video(torch.zeros(0, 2, 8, 8), MotionCode()),
    ):
        with pytest.raises(VideoJamError, match="at least 1 frame"):
            function()
    with pytest.raises(VideoJamError, match="at least 2 frames"):
        decode_motion_video(torch.zeros(1, 3, 8, 8), MotionCode())


def test_values_a_little_outside_the_range_are_clamped():
    """A VAE's output overshoots: 1.2 of red is full speed to the right, not 20 % more."""
    video = torch.zeros(2, 3, 30, 40)
    video[:, 0], video[:, 1], video[:, 2] = 1.2, -0.1, -0.2
    flow = decode_motion_video(video, MotionCode())
    torch.testing.assert_close(flow[0, :, 0, 0], torch.tensor([7.5, 0.0]))
