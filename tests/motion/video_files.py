"""What the tests of video files share: files as other programs write them, whose frames tell their numbers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from videojam.errors import VideoJamError
from videojam.motion.video import read_video

LEVEL = 8  # frame i is grey of level 8·i, so that a frame tells its number


def numbered_frames(num_frames: int, height: int = 64, width: int = 64) -> torch.Tensor:
    levels = (LEVEL * torch.arange(num_frames)).to(torch.uint8)
    return levels.view(-1, 1, 1, 1).expand(num_frames, 3, height, width).contiguous()


def numbers(frames: torch.Tensor) -> list[int]:
    return [round(float(frame.float().mean()) / LEVEL) for frame in frames]


def write_file(
    path: Path,
    frames: torch.Tensor,
    times_ms: Sequence[int] | None = None,
    audio_s: float = 0.0,
    rotation: int = 0,
    codec: str = "libx264",
    fps: int = 10,
) -> Path:
    """Write a file as other programs would: any container, times, sound, rotation."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=fps)
        video.height, video.width = frames.shape[2:]
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if rotation:
            video.set_display_rotation(rotation)
        sound = container.add_stream("aac", rate=16000, layout="mono") if audio_s else None
        if times_ms is not None:
            video.codec_context.time_base = Fraction(1, 1000)
        for i, pixels in enumerate(frames):
            image = av.VideoFrame.from_ndarray(pixels.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            if times_ms is not None:
                image.pts, image.time_base = times_ms[i], Fraction(1, 1000)
            container.mux(video.encode(image))
        container.mux(video.encode())
        if sound is not None:
            write_sound(container, sound, audio_s)
    return path


def write_sound(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    for start in range(0, int(16000 * seconds), 1024):
        wave = np.sin(np.arange(start, start + 1024) * 0.1).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")


def message(path: Path, **request) -> str:
    with pytest.raises(VideoJamError) as caught:
        read_video(path, **request)
    text = str(caught.value)
    assert str(path) in text
    return text
