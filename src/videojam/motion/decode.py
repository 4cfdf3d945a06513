"""Decoding an open video frame by frame, at its true times, and what shows that it is cut short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av.error
from av.video.frame import VideoFrame

from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.motion.container import Part, VideoPlace, VideoSource, open_video


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
