"""read_video and probe_video on ordinary, odd and broken files, all made here."""

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
from videojam.motion.video import probe_video, read_video, write_video

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


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """25 frames of 48 × 64 at 12 fps."""
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    write_video(path, numbered_frames(25, 48, 64), fps=12)
    return path


def test_all_frames_in_order(plain):
    clip = read_video(plain)
    assert clip.frames.shape == (25, 3, 48, 64)
    assert clip.frames.dtype == torch.uint8
    assert clip.fps == 12.0
    assert numbers(clip.frames) == list(range(25))


def test_probe(plain):
    info = probe_video(plain)
    assert (info.num_frames, info.fps, info.height, info.width, info.has_audio) == (25, 12.0, 48, 64, False)
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


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")


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


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
def test_containers_with_sound(tmp_path, suffix):
    path = write_file(tmp_path / f"sound{suffix}", numbered_frames(20), audio_s=4.0)
    assert probe_video(path).has_audio
    clip = read_video(path)
    assert clip.fps == 10.0
    assert numbers(clip.frames) == list(range(20))


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


def test_odd_sizes_can_be_read(tmp_path):
    frames = numbered_frames(5, 33, 47)
    path = write_file(tmp_path / "odd.mkv", frames, codec="ffv1")
    assert numbers(read_video(path).frames) == list(range(5))
    assert read_video(path).frames.shape == (5, 3, 33, 47)


# Broken files --------------------------------------------------------------------------------


def message(path: Path, **request) -> str:
    with pytest.raises(VideoJamError) as caught:
        read_video(path, **request)
    text = str(caught.value)
    assert str(path) in text
    return text


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
