"""Any clip as an mp4 that every program shows alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor

from videojam.errors import CannotWriteError
from videojam.files import renamed
from videojam.misfits import reason
from videojam.motion.container import open_video
from videojam.motion.decode import decode_frames
from videojam.motion.timing import read_timing
from videojam.motion.upright import is_plain, shown
from videojam.motion.video import Clip, VideoInfo, probe_video, read_video, write_video


def copy_as_mp4(source: Path, target: Path, fps: float | None = None) -> VideoInfo:
    """Copy a clip as an mp4 of a constant rate, upright, with square pixels.

    A file that is one already is copied byte for byte, with its time; others are encoded again as `read_video` shows
    them, without the last row or column where the size is odd.

    Args:
        source: Any video file.
        target: Where to write; missing folders are made.
        fps: Its true rate, for a file that has another one or none; its frames are kept as stored.

    Returns:
        What the copy is; its frames are counted by decoding them.

    Raises:
        VideoJamError: the file can't be read whole, or the copy can't be written.
    """
    info = probe_video(source)
    if fps is None and source.suffix.lower() == ".mp4" and _is_plain(source):
        num_frames = _count(source)  # what a container says of itself may be another number
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with renamed(target) as unfinished:
                shutil.copy2(source, unfinished)
        except OSError as error:
            raise CannotWriteError(
                expected="to copy the clip",
                found=reason(error),
                where=str(target),
                fix="Check free space and permissions of the folder.",
            ) from error
        return info._replace(num_frames=num_frames)
    clip = Clip(_stored_frames(source), fps) if fps else read_video(source)
    write_even(target, clip)
    return probe_video(target)


def write_even(target: Path, clip: Clip) -> None:
    """Write a clip without the last row or column where the size is odd.

    Raises:
        VideoJamError: as `write_video`.
    """
    height, width = (size // 2 * 2 for size in clip.frames.shape[2:])
    write_video(target, clip.frames[:, :, :height, :width], clip.fps)


def _is_plain(path: Path) -> bool:
    timing = read_timing(path)
    with open_video(path) as source:
        image = next(decode_frames(source)).image
        return timing.is_constant and timing.fps is not None and is_plain(image, source.pixel_aspect)


def _stored_frames(path: Path) -> Tensor:
    """Return each frame once, regardless of its time."""
    with open_video(path) as source:
        return torch.stack([shown(frame.image, source.pixel_aspect) for frame in decode_frames(source)])


def _count(path: Path) -> int:
    with open_video(path) as source:
        return sum(1 for _ in decode_frames(source))
