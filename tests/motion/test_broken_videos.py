"""read_video on files that are missing, cut or damaged, and on impossible requests: the error names the file."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
import torch
from video_files import message, numbered_frames, write_file, write_sound

from videojam.motion.video import read_video, write_video


def test_missing_file_and_folder(tmp_path):
    assert "no such file" in message(tmp_path / "absent.mp4")
    assert "a folder" in message(tmp_path)


def test_empty_file(tmp_path):
    (tmp_path / "empty.mp4").touch()
    assert "empty" in message(tmp_path / "empty.mp4")


@pytest.mark.parametrize("content", [b"this is not a video" * 100, bytes(5000), b"\x00\x00\x00\x20ftypisom"])
def test_unreadable_file(tmp_path, content):
    (tmp_path / "nonsense.mp4").write_bytes(content)
    assert "unreadable" in message(tmp_path / "nonsense.mp4")


def test_audio_only(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        write_sound(container, container.add_stream("aac", rate=16000, layout="mono"), 1.0)
    text = message(path)
    assert "video stream" in text
    assert "audio only" in text


def textured_file(path: Path, num_frames: int = 30, codec: str = "libx264") -> Path:
    """Noise, so that the packets are large and evenly spread through the file."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (num_frames, 3, 64, 64), dtype=torch.uint8, generator=generator)
    if path.suffix == ".mp4" and codec == "libx264":
        write_video(path, frames, fps=10)
        return path
    return write_file(path, frames, codec=codec)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_truncated_file(tmp_path, suffix, share):
    path = textured_file(tmp_path / f"whole{suffix}")
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert len(read_video(path).frames) == 30
    assert "truncated" in message(cut)
    assert "truncated" in message(cut, fps=5)
    # What is there can still be had by asking for no more.
    assert len(read_video(cut, num_frames=2).frames) == 2


def test_truncated_between_two_packets(tmp_path):
    """Every packet that is there is whole; only the index knows of the others."""
    path = textured_file(tmp_path / "whole.mp4")
    with av.open(str(path)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    assert ends[-1] == path.stat().st_size
    path.write_bytes(path.read_bytes()[: ends[-2]])
    assert "29 of 30" in message(path)


@pytest.mark.parametrize(("name", "codec"), [("whole.mp4", "libx264"), ("whole.avi", "mpeg4")])
def test_truncated_inside_its_last_packet(tmp_path, name, codec):
    """An MPEG-4 decoder conceals what is missing and says nothing."""
    path = textured_file(tmp_path / name, codec=codec)
    with av.open(str(path)) as container:
        last = max(
            (packet for packet in container.demux(video=0) if packet.size), key=lambda packet: packet.pos
        )
        middle = last.pos + last.size // 2
    path.write_bytes(path.read_bytes()[:middle])
    assert "truncated" in message(path)


def test_truncated_file_whose_index_was_at_the_end(tmp_path):
    path = write_file(tmp_path / "whole.mp4", numbered_frames(30))
    path.write_bytes(path.read_bytes()[:-200])
    assert "truncated" in message(path)


def test_damaged_in_the_middle(tmp_path):
    path = textured_file(tmp_path / "damaged.mp4")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content)
    assert "damaged" in message(path)


def test_shorter_than_asked(plain):
    text = message(plain, num_frames=26)
    assert "at least 26 frames at 12 fps" in text
    assert "found 25" in text
    assert "at least 14 frames at 6 fps" in message(plain, num_frames=14, fps=6)
    assert "found 1 " in message(plain, num_frames=2, start_s=24 / 12)
    assert "found 0" in message(plain, start_s=60.0)


@pytest.mark.parametrize(
    "request_",
    [
        {"num_frames": 0},
        {"fps": 0.0},
        {"fps": float("nan")},
        {"height": 32},
        {"width": 32},
        {"start_s": -1.0},
    ],
)
def test_impossible_requests(plain, request_):
    text = message(plain, **request_)
    assert next(iter(request_)) in text
