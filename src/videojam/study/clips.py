"""The clips that raters see: H.264 without sound and metadata, and the shuffled ones of attention checks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import av.error
import numpy as np
import torch

from videojam.errors import VideoJamError
from videojam.files import ELSEWHERE, FULL, refused
from videojam.misfits import reason
from videojam.motion.as_mp4 import write_even
from videojam.motion.video import Clip, probe_video, read_video

MIN_FRAMES = 6
MIN_CHANGE = 1.0
"""Of 255: how much more a shuffled clip must change from frame to frame for a rater to see it."""
MIN_RATIO = 1.5
"""How many times more: a clip that jumps about itself is no clear answer."""


def copy_for_raters(source: Path, target: Path) -> float:
    """Copy a clip without sound and metadata, which may name its model; encode it again if browsers may not play it.

    Args:
        source: Any video file.
        target: mp4 to write.

    Returns:
        Its duration in s.

    Raises:
        VideoJamError: the clip can't be read whole or the copy can't be written.
    """
    if not _remuxed(source, target):
        write_even(target, read_video(source))
    return duration_of(target)


def duration_of(path: Path) -> float:
    """Return how long a clip lasts, in s."""
    info = probe_video(path)
    if info.duration_s:
        return info.duration_s
    return (info.num_frames or 0) / (info.fps or 1)


def write_check(source: Path, true: Path, shuffled: Path, seed: int) -> float | None:
    """Write a clip and the same clip with its frames in random order, both encoded alike.

    Args:
        source: The clip.
        true: Where to write it.
        shuffled: Where to write the one in random order.
        seed: Of the order.

    Returns:
        Duration in s; None, and nothing written, where shuffling could not be seen: the clip is too short or
        hardly moves.

    Raises:
        VideoJamError: the clip can't be read or the copies can't be written.
    """
    clip = read_video(source)
    order = np.random.default_rng(seed).permutation(len(clip.frames))
    mixed = clip.frames[torch.from_numpy(order)]
    before, after = _change(clip.frames), _change(mixed)
    if len(clip.frames) < MIN_FRAMES or after < before + MIN_CHANGE or after < MIN_RATIO * before:
        return None
    write_even(true, clip)
    write_even(shuffled, Clip(mixed, clip.fps))
    return len(clip.frames) / clip.fps


def _change(frames: torch.Tensor) -> float:
    """Mean absolute difference from frame to frame, of 255."""
    total = sum(float((b.float() - a.float()).abs().mean()) for a, b in pairwise(frames))
    return total / max(1, len(frames) - 1)


def _remuxed(source: Path, target: Path) -> bool:
    """Copy the packets of the first video stream, if browsers play it as it is; False if they may not."""
    try:
        with av.open(str(source), metadata_errors="ignore") as container:
            stream = container.streams.video[0] if container.streams.video else None
            if stream is None or source.suffix.lower() != ".mp4" or not _plays_everywhere(stream):
                return False
            target.parent.mkdir(parents=True, exist_ok=True)
            with av.open(str(target), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as out:
                copied = out.add_stream_from_template(stream)
                copied.metadata.clear()
                for packet in container.demux(stream):
                    if packet.dts is not None:
                        packet.stream = copied
                        out.mux(packet)
            return True
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise refused(target, error, ELSEWHERE) from None
        raise VideoJamError(
            expected="a video file that can be read whole, and room to copy it",
            found=reason(error),
            where=str(source),
            fix="Make the clip again, or leave it out.",
        ) from None


def _plays_everywhere(stream: av.VideoStream) -> bool:
    """Whether a stream is H.264 in 4:2:0 with square pixels, upright."""
    context = stream.codec_context
    square = stream.sample_aspect_ratio in (None, 0, 1)
    turned = any("matrix" in str(kind).lower() for kind in getattr(stream, "side_data", ()) or ())
    return context.name == "h264" and context.pix_fmt == "yuv420p" and square and not turned
