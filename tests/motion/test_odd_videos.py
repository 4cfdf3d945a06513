"""read_video on whole files of other kinds: variable rates, held frames, sound, no container."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import av
import pytest
from video_files import ffmpeg, message, needs_ffmpeg, numbered_frames, numbers, write_file

from videojam.motion.video import probe_video, read_video, write_video


def test_variable_frame_rate(tmp_path):
    """10 fps for a second, a still second, then 20 fps: the shown time decides, at the finer rate by default."""
    times_ms = [*range(0, 1000, 100), *range(2000, 2500, 50)]
    path = write_file(tmp_path / "variable.mp4", numbered_frames(20), times_ms)
    expected = [min(range(20), key=lambda i: (abs(times_ms[i] - t), i)) for t in range(0, 2500, 50)]
    for clip in (read_video(path), read_video(path, fps=20)):
        found = numbers(clip.frames)
        assert clip.fps == 20
        assert len(found) in (50, 51)  # the last frame's duration is the writer's guess
        # Times halfway between two frames may go either way.
        assert all(abs(a - b) <= 1 for a, b in zip(found, expected, strict=False))
        assert found[40:50] == list(range(10, 20))


@needs_ffmpeg
def test_frames_that_were_left_out_where_nothing_moved(tmp_path):
    """A screen recording: 30 fps for a second, then a frame in six; its header says 30 fps."""
    write_video(tmp_path / "whole.mp4", numbered_frames(30), 30)
    drop = "setpts=if(lt(N\\,10)\\,N\\,10+6*(N-10))/30/TB"
    ffmpeg(
        "-i",
        tmp_path / "whole.mp4",
        "-vf",
        drop,
        "-fps_mode",
        "vfr",
        "-c:v",
        "libvpx",
        tmp_path / "screen.webm",
    )
    clip = read_video(tmp_path / "screen.webm")
    assert clip.fps == 30
    assert len(clip.frames) == 10 + 19 * 6 + 1  # the last frame is shown for one period
    found = numbers(clip.frames)
    assert found[:10] == list(range(10))
    assert [found.count(i) for i in range(12, 28)] == [6] * 16


@pytest.mark.parametrize(("suffix", "codec"), [(".gif", "gif"), (".mp4", "mpeg4"), (".mkv", "mpeg4")])
def test_a_last_picture_that_is_held(tmp_path, suffix, codec):
    """Twenty pictures at 10 fps, of which the last is held for three seconds: 4.9 s."""
    path = tmp_path / f"held{suffix}"
    with av.open(str(path), "w", options={"final_delay": "300"} if codec == "gif" else {}) as container:
        video = container.add_stream(codec, rate=10)
        video.height, video.width, video.pix_fmt = 64, 64, "rgb8" if codec == "gif" else "yuv420p"
        images = (pixels.permute(1, 2, 0).contiguous().numpy() for pixels in numbered_frames(20))
        frames = [*(av.VideoFrame.from_ndarray(image, format="rgb24") for image in images), None]
        packets = [packet for frame in frames for packet in video.encode(frame)]
        packets[-1].duration = int(3 / packets[-1].time_base)
        for packet in packets:
            container.mux(packet)
    clip = read_video(path)
    assert clip.fps == 10
    assert len(clip.frames) == 49
    assert (clip.frames[19:] == clip.frames[19]).all()
    assert not (clip.frames[18] == clip.frames[19]).all()
    assert len(read_video(path, fps=5).frames) == 25


def test_an_avi_with_empty_chunks_is_whole(tmp_path):
    """AVI writes an empty chunk where a frame is held; here frames 5, 6 and the last two are."""
    path = write_file(tmp_path / "dropped.avi", numbered_frames(12), codec="mpeg4")
    content, position = bytearray(path.read_bytes()), 0
    position = content.index(b"movi") + 4
    chunks, rest = [], position
    while content[rest : rest + 4] == b"00dc":
        size = int.from_bytes(content[rest + 4 : rest + 8], "little")
        end = rest + 8 + size + size % 2
        chunks.append(bytes(content[rest:end]))
        rest = end
    assert len(chunks) == 12
    for i in (5, 6, 10, 11):
        chunks[i] = b"00dc" + bytes(4)
    movi = b"movi" + b"".join(chunks)
    head = bytes(content[: position - 8]) + len(movi).to_bytes(4, "little") + movi
    path.write_bytes(head[:4] + (len(head) - 8).to_bytes(4, "little") + head[8:])
    clip = read_video(path)
    assert clip.fps == 10
    assert numbers(clip.frames)[:10] == [0, 1, 2, 3, 4, 4, 7, 7, 8, 9]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
def test_a_clip_cut_without_reencoding(tmp_path):
    """Its container holds packets from before the cut, which are not shown: that is no truncation."""
    source, cut = tmp_path / "source.mp4", tmp_path / "cut.mp4"
    write_file(source, numbered_frames(30))
    command = ["ffmpeg", "-v", "error", "-ss", "1.55", "-i", source, "-c", "copy", cut]
    subprocess.run(command, check=True, timeout=60)
    found = numbers(read_video(cut).frames)
    assert found == list(range(found[0], 30))
    assert found[0] in (15, 16)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
def test_containers_with_sound(tmp_path, suffix):
    path = write_file(tmp_path / f"sound{suffix}", numbered_frames(20), audio_s=4.0)
    with av.open(str(path)) as container:
        assert container.streams.audio
    clip = read_video(path)
    assert clip.fps == 10.0
    assert numbers(clip.frames) == list(range(20))


def test_odd_sizes_can_be_read(tmp_path):
    frames = numbered_frames(5, 33, 47)
    path = write_file(tmp_path / "odd.mkv", frames, codec="ffv1")
    assert numbers(read_video(path).frames) == list(range(5))
    assert read_video(path).frames.shape == (5, 3, 33, 47)


def raw_frames_file(path: Path) -> Path:
    """A bare sequence of JPEG pictures: no container, no times, no rate."""
    whole = write_file(path.with_suffix(".avi"), numbered_frames(12), codec="mjpeg")
    with av.open(str(whole)) as container:
        stream = container.streams.video[0]
        path.write_bytes(b"".join(bytes(packet) for packet in container.demux(stream)))
    return path


def test_fps_missing(tmp_path):
    path = raw_frames_file(tmp_path / "bare.mjpeg")
    assert probe_video(path).fps is None
    text = message(path)
    assert "frame rate" in text
    assert "fps" in text.split("Pass")[1]


def test_fps_given_where_missing(tmp_path):
    path = raw_frames_file(tmp_path / "bare.mjpeg")
    clip = read_video(path, fps=12, num_frames=5, start_s=0.25)
    assert clip.fps == 12
    assert numbers(clip.frames) == [3, 4, 5, 6, 7]
    assert numbers(read_video(path, fps=12).frames) == list(range(12))


def test_bare_h264_tells_its_rate_in_the_stream(tmp_path):
    path = write_file(tmp_path / "bare.h264", numbered_frames(12))
    clip = read_video(path)
    assert clip.fps == 10.0
    assert numbers(clip.frames) == list(range(12))
