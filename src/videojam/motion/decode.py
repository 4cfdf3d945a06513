"""Decoding a video file frame by frame, at its true times, and what can be wrong with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videojam.errors import VideoJamError
from videojam.misfits import reason

# Demuxers of bare frames: the rate that they report is a default (25), not the file's.
_RATELESS_FORMATS = frozenset(
    {"h264", "hevc", "av1", "obu", "m4v", "mjpeg", "mpegvideo", "rawvideo", "image2"}
)


# Demuxers of texts that name other files or addresses, which FFmpeg would open in the clip's place.
_PLAYLISTS = frozenset(
    {"hls", "applehttp", "concat", "dash", "imf", "sdp", "rtsp", "image2", "webm_dash_manifest"}
)
_PROTOCOLS = "file,subfile"
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Part:
    """A video that is a stretch of a larger file, such as a member of an uncompressed tar; it is read in place.

    Attributes:
        path: The larger file.
        name: What the stretch is called in it.
        start: Its first byte.
        size: Its length in bytes.
    """

    path: Path
    name: str
    start: int
    size: int

    def __str__(self) -> str:
        """Say where it is, for error messages."""
        return f"{self.path}: {self.name}"


VideoPlace = str | Path | Part
"""Where a video is: a file, or a part of one."""


@dataclass(frozen=True)
class VideoSource:
    """An open file with its video stream.

    Attributes:
        path: The file, or the part of one, for error messages.
        container: PyAV's container.
        stream: Its first video stream.
        fps: True frame rate; None when nothing in the file states it.
        timed: Whether frames carry timestamps of their own.
    """

    path: Path | Part
    container: InputContainer
    stream: VideoStream
    fps: float | None
    timed: bool

    @property
    def duration_s(self) -> float | None:
        """Duration of the video stream as the header has it; None when it does not say."""
        if not self.timed:
            return None
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        if len(self.container.streams) == 1 and self.container.duration:
            return self.container.duration / av.time_base
        return None

    @property
    def pixel_aspect(self) -> float:
        """Width over height of a pixel as stored; 1 where nothing in the file states it."""
        aspect = self.stream.sample_aspect_ratio
        return float(aspect) if aspect else 1.0


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame, not yet converted to RGB.

    Attributes:
        image: PyAV's frame.
        time_s: When it appears, in s after the first frame.
        duration_s: How long it is shown, in s.
    """

    image: VideoFrame
    time_s: float
    duration_s: float


@contextlib.contextmanager
def open_video(path: VideoPlace) -> Iterator[VideoSource]:
    """Open a video file, or a part of a larger file.

    Raises:
        VideoJamError: If the file is missing, empty, not readable as video, or holds only sound.
    """
    path = Path(path) if isinstance(path, str) else path
    file = path.path if isinstance(path, Part) else path
    if not file.is_file():
        found = "a folder" if file.is_dir() else "no such file"
        raise VideoJamError(expected="a video file", found=found, where=str(path), fix="Check the path.")
    if (path.size if isinstance(path, Part) else path.stat().st_size) == 0:
        raise VideoJamError(
            expected="a video file",
            found="an empty file",
            where=str(path),
            fix="Download or export it again.",
        )
    try:
        container = av.open(_address(path), container_options={"protocol_whitelist": _PROTOCOLS})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        _refuse_pointer(path)
        raise VideoJamError(
            expected="a video file that FFmpeg can open",
            found=f"an unreadable or truncated one ({reason(error)})",
            where=str(path),
            fix="Check that it plays; if its download or export was cut short, do it again.",
        ) from error
    with container:
        if _PLAYLISTS.intersection(container.format.name.split(",")):
            raise VideoJamError(
                expected="a video file that holds its pictures",
                found=f"a playlist of other files ({container.format.name})",
                where=str(path),
                fix="Give those files themselves, or join them: ffmpeg -i LIST -c copy NEW.mp4",
            )
        if not container.streams.video:
            held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise VideoJamError(
                expected="a video stream",
                found=f"{held} only",
                where=str(path),
                fix="Remove the file from the data set, or export it with its pictures.",
            )
        stream = container.streams.video[0]
        yield VideoSource(path, container, stream, *_rate(container, stream))


def _refuse_pointer(path: Path | Part) -> None:
    """Say of a Git LFS pointer what it is: a repository was cloned without its large files."""
    if isinstance(path, Part):
        return
    with path.open("rb") as file:
        is_pointer = file.read(len(_LFS_POINTER)) == _LFS_POINTER
    if is_pointer:
        raise VideoJamError(
            expected="a video file",
            found="a Git LFS pointer to one, which was not downloaded",
            where=str(path),
            fix="Run `git lfs pull` in the folder.",
        )


def check_packets(path: VideoPlace) -> int:
    """Read every packet of a video without decoding it, and return how many there are.

    Raises:
        VideoJamError: If the file can't be opened, or ends before its header says.
    """
    num_packets = 0
    times_s: list[float] = []
    with open_video(path) as source:
        try:
            for packet in source.container.demux(source.stream):
                num_packets += packet.size > 0
                if packet.is_corrupt:
                    raise _cut_short(source, num_packets, "its last part is missing")
                if packet.size and packet.pts is not None:
                    ends = (packet.pts, packet.pts + (packet.duration or 0))
                    times_s += [float(end * (packet.time_base or 0)) for end in ends]
        except (av.error.FFmpegError, OSError) as error:
            raise _cut_short(source, num_packets, reason(error)) from error
        _check_end(source, num_packets, num_packets, max(times_s, default=0.0) - min([0.0, *times_s]))
    return num_packets


def decode_frames(source: VideoSource, fallback_fps: float | None = None) -> Iterator[TimedFrame]:
    """Decode all frames in order of display.

    Args:
        source: An open file, read from its start.
        fallback_fps: Rate of the frames when the file does not state its own.

    Raises:
        VideoJamError: If the file ends before its header says, or is damaged.
    """
    period_s = 1 / (source.fps or fallback_fps or 25.0)
    num_packets, num_frames, first_s, end_s = 0, 0, 0.0, 0.0
    try:
        for packet in source.container.demux(source.stream):
            num_packets += packet.size > 0
            if packet.is_corrupt:
                raise _cut_short(source, num_frames, "its last part is missing")
            for image in packet.decode():
                time_s = image.time if source.timed and image.time is not None else num_frames * period_s
                first_s = time_s if num_frames == 0 else first_s
                duration_s = period_s
                if source.timed and image.duration and image.time_base:
                    duration_s = float(image.duration * image.time_base)
                num_frames, end_s = num_frames + 1, time_s - first_s + duration_s
                yield TimedFrame(image, time_s - first_s, duration_s)
    except (av.error.FFmpegError, OSError) as error:
        raise _cut_short(source, num_frames, reason(error)) from error
    _check_end(source, num_frames, num_packets, end_s + max(0.0, first_s))


def sample_at(frames: Iterator[TimedFrame], fps: float, start_s: float) -> Iterator[TimedFrame]:
    """At start_s, start_s + 1/fps, … yield the frame whose timestamp is nearest, until the last frame's end.

    Args:
        frames: Frames in order of display.
        fps: Rate to sample at.
        start_s: First time, in s.
    """
    index = 0
    previous: TimedFrame | None = None
    for frame in frames:
        if previous is not None:
            middle_s = (previous.time_s + frame.time_s) / 2
            while start_s + index / fps <= middle_s:
                yield previous
                index += 1
        previous = frame
    if previous is None:
        return
    # A microsecond keeps the rounding of timestamps from adding a frame.
    while start_s + index / fps < previous.time_s + previous.duration_s - 1e-6:
        yield previous
        index += 1


def _check_end(source: VideoSource, num_frames: int, num_packets: int, end_s: float) -> None:
    """Refuse a file that holds less than its header says: fewer packets, or frames for a shorter time.

    Args:
        source: The file.
        num_frames: Frames decoded, for the error message.
        num_packets: Packets that it holds.
        end_s: When its last frame ends, in the file's own time; Matroska's duration counts from 0, not from the first.
    """
    if num_frames == 0 or (num_packets < source.stream.frames and not _is_whole_avi(source)):
        raise _cut_short(source, num_frames, f"{num_packets} of {source.stream.frames} packets are there")
    # Matroska counts no frames; the margin spares files whose last frame lasts longer than it says.
    margin_s = 2 / (source.fps or 25.0)
    if source.stream.frames == 0 and source.duration_s and end_s < 0.95 * source.duration_s - margin_s:
        raise _cut_short(source, num_frames, f"{end_s:.2f} of {source.duration_s:.2f} s are there")


def _rate(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    """Frame rate, and whether the container's timestamps are the file's own."""
    name = container.format.name
    if name in _RATELESS_FORMATS or name.endswith("_pipe"):
        rate = stream.codec_context.framerate
        return (float(rate) if rate else None), False
    measured = stream.average_rate or stream.guessed_rate
    return (float(measured) if measured else None), True


def _address(path: Path | Part) -> str:
    """Return what FFmpeg opens; without a protocol, a name with a colon would be taken for an address."""
    if isinstance(path, Part):
        return f"subfile,,start,{path.start},end,{path.start + path.size},,:{path.path}"
    return f"file:{path}"


def _is_whole_avi(source: VideoSource) -> bool:
    """Whether a file is an AVI as long as its header says: it counts the empty chunks of held frames as frames."""
    if source.container.format.name != "avi" or isinstance(source.path, Part):
        return False
    with source.path.open("rb") as file:
        riff_bytes = int.from_bytes(file.read(8)[4:], "little") + 8
    return abs(source.path.stat().st_size - riff_bytes) < 8


def _cut_short(source: VideoSource, num_frames: int, reason: str) -> VideoJamError:
    return VideoJamError(
        expected="a whole video file",
        found=f"a truncated or damaged one: after {num_frames} frames, {reason}",
        where=str(source.path),
        fix="Download or export it again, or ask for no more frames than it holds (num_frames).",
    )
