"""read_video shows a picture as players do: rotation, mirroring, non-square pixels."""

from __future__ import annotations

import shutil
import subprocess

import av
import pytest
import torch
from video_files import ffmpeg, needs_ffmpeg, write_file

from videojam.motion.video import probe_video, read_video, write_video


@pytest.mark.parametrize(
    "matrix",
    [
        tuple(int(part) for part in word.split())
        for word in (
            "1 0 0 1",
            "-1 0 0 1",
            "1 0 0 -1",
            "-1 0 0 -1",
            "0 1 1 0",
            "0 -1 1 0",
            "0 1 -1 0",
            "0 -1 -1 0",
        )
    ],
)
def test_all_eight_orientations(tmp_path, matrix):
    """The display matrix maps (x, y) to (a·x + c·y, b·x + d·y): four grey quarters tell where each one went."""
    a, b, c, d = matrix
    levels = {(-1, -1): 0, (1, -1): 80, (-1, 1): 160, (1, 1): 240}
    frames = torch.zeros(3, 3, 32, 64, dtype=torch.uint8)
    for (x, y), level in levels.items():
        frames[..., 16 * (y > 0) : 16 + 16 * (y > 0), 32 * (x > 0) : 32 + 32 * (x > 0)] = level
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.height, video.width, video.pix_fmt = 32, 64, "yuv420p"
        one = 65536
        video.set_display_matrix([one * a, one * b, 0, one * c, one * d, 0, 0, 0, 1 << 30])
        for pixels in frames:
            image = av.VideoFrame.from_ndarray(pixels.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            container.mux(video.encode(image))
        container.mux(video.encode())
    shown = read_video(path).frames[0].float().mean(0)
    assert shown.shape == ((32, 64) if a else (64, 32))
    height, width = shown.shape
    for (x, y), level in levels.items():
        column, row = width * (2 + a * x + c * y) // 4, height * (2 + b * x + d * y) // 4
        assert abs(float(shown[row, column]) - level) < 6
    if shutil.which("ffmpeg"):
        ffmpeg("-i", path, tmp_path / "upright.mp4")
        theirs = read_video(tmp_path / "upright.mp4").frames[0].float().mean(0)
        assert float((theirs - shown).abs().mean()) < 4


@needs_ffmpeg
@pytest.mark.parametrize(("aspect", "stored"), [("2/1", "64:96"), ("1/2", "128:48"), ("4/3", "96:96")])
def test_non_square_pixels_show_the_same_picture_and_motion(tmp_path, aspect, stored):
    """A disc that moves 2 px a frame, 128 × 96 as seen, stored with pixels of another shape."""
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(128), indexing="ij")
    discs = [((columns - 40 - 2 * i) ** 2 + (rows - 48) ** 2 < 20**2) * 255 for i in range(6)]
    frames = torch.stack(discs).to(torch.uint8)[:, None].expand(-1, 3, -1, -1).contiguous()
    write_video(tmp_path / "square.mp4", frames, 10, crf=4)
    ffmpeg(
        "-i", tmp_path / "square.mp4", "-vf", f"scale={stored},setsar={aspect}", "-crf", 4, tmp_path / "wide.mp4"
    )  # fmt: skip
    info = probe_video(tmp_path / "wide.mp4")
    assert (info.height, info.width) == (96, 128)
    seen = read_video(tmp_path / "wide.mp4").frames
    assert seen.shape == frames.shape
    assert float((seen.float() - frames.float()).abs().mean()) < 4
    square, wide = (
        read_video(tmp_path / f"{name}.mp4", height=48, width=48).frames.float()
        for name in ("square", "wide")
    )
    assert float((square - wide).abs().mean()) < 3


def corner_frames(num_frames: int = 4) -> torch.Tensor:
    """Black, 32 × 64, with a white square in the top left corner."""
    frames = torch.zeros(num_frames, 3, 32, 64, dtype=torch.uint8)
    frames[..., :16, :16] = 255
    return frames


@pytest.mark.parametrize(
    ("rotation", "corner", "size"),
    [(90, "bottom left", (64, 32)), (-90, "top right", (64, 32)), (180, "bottom right", (32, 64))],
)
def test_rotation_is_applied(tmp_path, rotation, corner, size):
    """A phone's portrait video is stored lying and turned by its metadata (degrees anticlockwise)."""
    path = write_file(tmp_path / "portrait.mp4", corner_frames(), rotation=rotation)
    frames = read_video(path).frames
    assert tuple(frames.shape[2:]) == size
    info = probe_video(path)
    assert (info.height, info.width) == size
    assert bright_corner(frames) == corner


def bright_corner(frames: torch.Tensor) -> str:
    image = frames[0].float().mean(0)
    height, width = image.shape
    places = {
        "top left": image[:8, :8],
        "top right": image[:8, width - 8 :],
        "bottom left": image[height - 8 :, :8],
        "bottom right": image[height - 8 :, width - 8 :],
    }
    return max(places, key=lambda name: float(places[name].mean()))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
@pytest.mark.parametrize("rotation", [90, -90])
def test_rotation_agrees_with_ffmpeg(tmp_path, rotation):
    path = write_file(tmp_path / "portrait.mp4", corner_frames(), rotation=rotation)
    upright = tmp_path / "upright.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-i", path, upright], check=True, timeout=60)
    ours, theirs = read_video(path).frames, read_video(upright).frames
    assert ours.shape == theirs.shape
    assert float((ours.float() - theirs.float()).abs().mean()) < 4
