"""read_video and probe_video on ordinary files: order, sizes, resampling."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from video_files import numbered_frames, numbers

from videojam.motion.video import probe_video, read_video, write_video


def test_all_frames_in_order(plain):
    clip = read_video(plain)
    assert clip.frames.shape == (25, 3, 48, 64)
    assert clip.frames.dtype == torch.uint8
    assert clip.fps == 12.0
    assert numbers(clip.frames) == list(range(25))


def test_probe(plain):
    info = probe_video(plain)
    assert (info.num_frames, info.fps, info.height, info.width) == (25, 12.0, 48, 64)
    assert info.duration_s == pytest.approx(25 / 12, abs=1e-3)


def test_num_frames_and_start(plain):
    assert numbers(read_video(plain, num_frames=4).frames) == [0, 1, 2, 3]
    assert numbers(read_video(plain, num_frames=4, start_s=5 / 12).frames) == [5, 6, 7, 8]
    assert numbers(read_video(plain, num_frames=4, start_s=5 / 12, fps=12).frames) == [5, 6, 7, 8]


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (12, list(range(25))),
        (6, list(range(0, 25, 2))),
        (4, list(range(0, 25, 3))),
        (24, [i for i in range(25) for _ in (0, 1)]),
    ],
)
def test_resampling_by_timestamps(plain, fps, expected):
    clip = read_video(plain, fps=fps)
    assert clip.fps == fps
    # At twice the rate every other time is halfway between two frames: either neighbour is nearest.
    assert len(clip.frames) == len(expected)
    assert np.abs(np.array(numbers(clip.frames)) - expected).max() <= (1 if fps == 24 else 0)


def test_resampling_keeps_real_time(plain):
    """At 10 fps, frame i shows the time i/10 s, which is frame 1.2·i of the file, rounded."""
    found = numbers(read_video(plain, fps=10).frames)
    assert found == [round(1.2 * i) for i in range(21)]


def test_cover_and_centre_crop(tmp_path):
    """A wide frame keeps its middle: thirds of red, green, blue; a square of the middle is green alone."""
    frames = torch.zeros(3, 3, 64, 192, dtype=torch.uint8)
    for channel in range(3):
        frames[:, channel, :, 64 * channel : 64 * (channel + 1)] = 255
    write_video(tmp_path / "wide.mp4", frames, fps=8)
    small = read_video(tmp_path / "wide.mp4", height=32, width=32).frames
    assert small.shape == (3, 3, 32, 32)
    middle = small[:, :, 4:-4, 4:-4].float().mean((0, 2, 3))
    assert middle.tolist() == pytest.approx([0, 255, 0], abs=4)
    tall = read_video(tmp_path / "wide.mp4", height=64, width=30).frames
    assert tall.shape == (3, 3, 64, 30)


def test_resizing_is_antialiased(tmp_path):
    """A checkerboard of single pixels, three times smaller, is grey and not a pattern."""
    board = (torch.arange(96).view(-1, 1) + torch.arange(96)) % 2 * 255
    frames = board.to(torch.uint8).expand(2, 3, 96, 96).contiguous()
    write_video(tmp_path / "board.mp4", frames, fps=8, crf=1)
    small = read_video(tmp_path / "board.mp4", height=32, width=32).frames.float()
    assert float(small.mean()) == pytest.approx(127.5, abs=6)
    assert float(small.std()) < 20  # every third pixel alone would have 127


def test_names_that_look_like_addresses_are_names(tmp_path, monkeypatch):
    """FFmpeg would read `file:a.mp4` as the file `a.mp4`."""
    monkeypatch.chdir(tmp_path)
    for name, count in (("a.mp4", 3), ("file:a.mp4", 5), ("10:30.mp4", 7), ("-a%02d.mp4", 9)):
        write_video(name, numbered_frames(count), 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "-a%02d.mp4",
        "10:30.mp4",
        "a.mp4",
        "file:a.mp4",
    ]
    counts = [len(read_video(name).frames) for name in ("a.mp4", "file:a.mp4", "10:30.mp4", "-a%02d.mp4")]
    assert counts == [3, 5, 7, 9]


def test_colours_are_those_of_the_standard(tmp_path):
    """BT.709, levels 16 to 235, a colour for every second pixel: B = (Y − 16)·255/219 + 1.8556·(U − 128)·255/224."""
    y, u, v = (
        np.full((64, 64), 126, np.uint8),
        np.tile(80 + 2 * np.arange(32, dtype=np.uint8), (32, 1)),  # 80 + x at pixel x
        np.full((32, 32), 128, np.uint8),
    )
    picture = VideoFrame.from_ndarray(
        np.concatenate([plane.ravel() for plane in (y, u, v)]).reshape(96, 64), "yuv420p"
    )
    with av.open(str(tmp_path / "slope.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = Colorspace.ITU709, ColorRange.MPEG
        container.mux([*stream.encode(picture), *stream.encode()])
    blue = read_video(tmp_path / "slope.mkv").frames[0, 2, :, 4:-4].float()
    expected = (126 - 16) * 255 / 219 + 1.8556 * (80 + torch.arange(4.0, 60.0) - 128) * 255 / 224
    assert float((blue - expected).abs().max()) <= 1
    assert float((blue - expected).mean().abs()) < 0.2
