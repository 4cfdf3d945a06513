"""write_video: what ends up in the file, and what is refused."""

from __future__ import annotations

import resource
from fractions import Fraction

import av
import pytest
import torch

from videojam.errors import VideoJamError
from videojam.motion.code import MotionCode
from videojam.motion.flow import decode_motion_video, motion_video
from videojam.motion.video import read_video, write_video

# Corners of the RGB cube and a few dark and mixed colours, as the motion code draws them.
COLOURS = [
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0),
    (0, 255, 255), (255, 0, 255), (255, 255, 255), (0, 0, 0),
    (255, 128, 0), (128, 0, 255), (0, 128, 0), (30, 30, 30),
    (200, 40, 90), (12, 0, 0), (0, 12, 0), (0, 0, 12),
]  # fmt: skip


def colour_chart(num_frames: int = 5) -> torch.Tensor:
    """4 × 4 patches of 16 px."""
    chart = torch.tensor(COLOURS, dtype=torch.uint8).view(4, 4, 3).permute(2, 0, 1)
    chart = chart.repeat_interleave(16, 1).repeat_interleave(16, 2)
    return chart.repeat(num_frames, 1, 1, 1)


def patch_middles(video: torch.Tensor) -> torch.Tensor:
    """The inner 8 × 8 px of each patch, away from the edges that 4:2:0 blurs."""
    return video.reshape(-1, 3, 4, 16, 4, 16)[:, :, :, 4:12, :, 4:12].float()


def test_saturated_colours_come_back(tmp_path):
    write_video(tmp_path / "chart.mp4", colour_chart(), fps=8)
    clip = read_video(tmp_path / "chart.mp4")
    error = (patch_middles(clip.frames) - patch_middles(colour_chart())).abs()
    assert float(error.max()) <= 4
    assert float(error.mean()) < 0.5


def test_colours_come_back_at_their_places(tmp_path):
    """A slope of colour of 6 levels a pixel, each way: half a pixel aside it would be 3 levels off."""
    slope = torch.arange(32.0) * 6 + 30
    for picture in (slope.expand(32, 32), slope.view(32, 1).expand(32, 32)):
        written = torch.stack([picture, torch.full((32, 32), 128.0), 255 - picture]).byte().repeat(3, 1, 1, 1)
        write_video(tmp_path / "slope.mp4", written, fps=8, crf=1)
        error = (read_video(tmp_path / "slope.mp4").frames.float() - written)[..., 4:-4, 4:-4]
        assert float(error[:, [0, 2]].mean((0, 2, 3)).abs().max()) < 0.5


def test_flow_survives_the_file(tmp_path):
    """Patches of 16 px in 9 directions at m = 0.5: their middles come back within 0.1 px/frame."""
    code = MotionCode(padding="last")
    angle = torch.arange(16).view(4, 4).repeat_interleave(16, 0).repeat_interleave(16, 1) * (torch.pi / 8)
    speed = 0.5 * code.full_scale_px(64, 64)
    flow = (speed * torch.stack([angle.cos(), angle.sin()])).repeat(4, 1, 1, 1)
    write_video(tmp_path / "motion.mp4", motion_video(flow, code), fps=8)
    back = decode_motion_video(read_video(tmp_path / "motion.mp4").frames, code)
    error = (back - flow).view(-1, 2, 4, 16, 4, 16)[:, :, :, 4:12, :, 4:12].norm(dim=1)
    assert float(error.mean()) < 0.1


def test_a_browser_can_play_it(tmp_path):
    path = tmp_path / "new" / "folder" / "chart.mp4"
    write_video(path, colour_chart(), fps=24)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.width, context.height) == (64, 64)
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)  # bt709
        assert context.color_range == 1  # limited
    content = path.read_bytes()
    assert (
        0 < content.index(b"moov") < content.index(b"mdat")
    )  # the index is in front: playing starts at once


@pytest.mark.parametrize(
    ("fps", "true_fps"),
    [
        (12.0, Fraction(12)),
        (24, Fraction(24)),
        (30000 / 1001, Fraction(30000, 1001)),
        (23.976, Fraction(2997, 125)),
        (7.5, Fraction(15, 2)),
        (0.5, Fraction(1, 2)),
    ],
)
def test_fps_is_kept_as_a_fraction(tmp_path, fps, true_fps):
    write_video(tmp_path / "clip.mp4", colour_chart(7), fps=fps)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == true_fps
        assert stream.frames == 7
        times = [frame.time for frame in container.decode(stream)]
    assert times == pytest.approx([i / float(true_fps) for i in range(7)], abs=1e-3)
    assert read_video(tmp_path / "clip.mp4").fps == pytest.approx(float(true_fps))


def test_a_single_frame(tmp_path):
    write_video(tmp_path / "one.mp4", colour_chart(1), fps=8)
    assert read_video(tmp_path / "one.mp4").frames.shape == (1, 3, 64, 64)


def test_lower_crf_is_closer(tmp_path):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8, generator=generator).expand(4, 3, 32, 32)
    errors = []
    for crf in (1, 40):
        write_video(tmp_path / "noise.mp4", noise, fps=8, crf=crf)
        errors.append(float((read_video(tmp_path / "noise.mp4").frames.float() - noise).abs().mean()))
    assert errors[0] < 3 < errors[1]


@pytest.mark.parametrize("size", [(63, 64), (64, 63)])
def test_odd_sizes_are_refused(tmp_path, size):
    with pytest.raises(VideoJamError, match=rf"even height and width.*{size[0]}×{size[1]}.*[Cc]rop"):
        write_video(tmp_path / "odd.mp4", torch.zeros(2, 3, *size, dtype=torch.uint8), fps=8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e-9, 1e9, float("nan"), float("inf")])
def test_wrong_fps_is_refused(tmp_path, fps):
    with pytest.raises(VideoJamError, match=r"an fps from 0\.01 to 1000"):
        write_video(tmp_path / "clip.mp4", colour_chart(), fps=fps)


def test_no_frames_are_refused(tmp_path):
    with pytest.raises(VideoJamError, match="T ≥ 1"):
        write_video(tmp_path / "clip.mp4", torch.zeros(0, 3, 64, 64, dtype=torch.uint8), fps=8)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """Files may grow to 1000 bytes only, which is what a full disk looks like."""
    path = tmp_path / "clip.mp4"
    write_video(path, colour_chart(3), fps=8)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(VideoJamError, match=r"clip\.mp4.*free space"):
            write_video(path, colour_chart(9), fps=8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(VideoJamError, match="file/clip"):
        write_video(tmp_path / "file" / "clip.mp4", colour_chart(), fps=8)
