"""At which constant rate a file's frames are returned where no rate is asked for."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import av.error

from videojam.motion.container import VideoPlace, VideoSource, open_video

# Of the intervals between frames, the one that is shorter than nine in ten: a glitch is not the rate.
_SHORT_SHARE = 0.1


class Timing(NamedTuple):
    """When the frames of a file are shown.

    Attributes:
        fps: Constant rate at which every frame is shown at its time; None when nothing in the file states it.
        is_constant: Whether the frames as stored are those of that rate, each shown once.
        num_frames: How many frames there are at that rate, as far as the file can be read.
    """

    fps: float | None
    is_constant: bool
    num_frames: int


def read_timing(path: VideoPlace) -> Timing:
    """Read the times of a file's packets, decoding nothing.

    Frames are of a constant rate where each lies within half a period of its place at the average rate. Others (a
    variable rate, held frames, dropped ones) are to be sampled at the rate of their short intervals.

    Args:
        path: A video file.

    Raises:
        VideoJamError: If the file is missing, empty, unreadable, or has no video in it.
    """
    with open_video(path) as source:
        times_s, end_s, num_packets = _times(source)
        if source.fps is None or not source.timed or not times_s:
            return Timing(source.fps, True, num_packets)
        if _is_constant(times_s, end_s, source.fps):
            return Timing(source.fps, True, len(times_s))
        fps = _fine_rate(times_s, source)
    return Timing(fps, False, max(1, round(end_s * fps)))


def _times(source: VideoSource) -> tuple[list[float], float, int]:
    """Return when packets are shown in s after the first, when the last one ends, and how many there are."""
    shown: list[tuple[int, int]] = []
    num_packets = 0
    try:
        for packet in source.container.demux(source.stream):
            num_packets += packet.size > 0
            if packet.size and packet.pts is not None and not packet.is_discard:
                shown.append((packet.pts, packet.duration or 0))
    except (av.error.FFmpegError, OSError):
        pass  # what is wrong is said when the file is decoded
    if len(shown) < num_packets and not any(duration for _, duration in shown):
        return [], 0.0, num_packets
    shown.sort()
    unit = float(source.stream.time_base or 0)
    times_s = [(pts - shown[0][0]) * unit for pts, _ in shown]
    end_s = times_s[-1] + shown[-1][1] * unit if shown else 0.0
    return times_s, end_s, num_packets


def _is_constant(times_s: list[float], end_s: float, fps: float) -> bool:
    off = max(abs(time_s * fps - i) for i, time_s in enumerate(times_s))
    return off < 0.5 and end_s * fps < len(times_s) + 0.5


def _fine_rate(times_s: list[float], source: VideoSource) -> float:
    """Return the rate of the short intervals; FFmpeg's own guess where it agrees, since that is a round number."""
    gaps_s = sorted(gap for a, b in pairwise(times_s) if (gap := b - a) > 0)
    guess = float(source.stream.guessed_rate or 0)
    if not gaps_s:
        return guess or source.fps or 1.0
    fps = 1 / gaps_s[int(_SHORT_SHARE * len(gaps_s))]
    return guess if abs(guess - fps) < 0.1 * fps else fps
