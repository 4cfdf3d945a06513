"""A clip inside an HTML page: the player's tag, with the file in it."""

from __future__ import annotations

import base64
import tempfile
from html import escape
from pathlib import Path

from torch import Tensor

from videojam.motion.video import CRF, VideoInfo, write_video

MAX_SIDE_PX = 320
"""Longer side of a clip that is made smaller for a page."""


def video_tag(info: VideoInfo, data: bytes, label: str, kind: str = "") -> str:
    """Return the tag of a clip that the page's player drives.

    Args:
        info: Of its file.
        data: Its file.
        label: What it shows, for those who can't see it.
        kind: Class of the tag, for the page's style.
    """
    named = f' class="{kind}"' if kind else ""
    text = base64.b64encode(data).decode("ascii")
    return (
        f'<video{named} muted playsinline preload="auto" aria-label="{escape(label)}" data-fps="{info.fps:.6g}" '
        f'data-frames="{info.num_frames}" style="aspect-ratio:{info.width}/{info.height}" '
        f'src="data:video/mp4;base64,{text}"></video>'
    )


def frames_tag(frames: Tensor, fps: float, label: str, crf: int, kind: str = "") -> str:
    """Return the tag of frames that are in no file; see `video_tag`.

    Args:
        frames: uint8 `[T, 3, H, W]`.
        fps: Frames a second.
        label: As of `video_tag`.
        crf: x264's constant rate factor.
        kind: As of `video_tag`.

    Raises:
        VideoJamError: an odd height or width.
    """
    num_frames, _, height, width = frames.shape
    info = VideoInfo(num_frames, fps, height, width, num_frames / fps)
    return video_tag(info, encoded(frames, fps, crf), label, kind)


def small_size(height: int, width: int) -> tuple[int, int]:
    """Return even height and width, of the same shape, whose longer side is at most `MAX_SIDE_PX`."""
    scale = min(1.0, MAX_SIDE_PX / max(height, width))
    return 2 * max(1, round(scale * height / 2)), 2 * max(1, round(scale * width / 2))


def encoded(frames: Tensor, fps: float, crf: int = CRF) -> bytes:
    """Return frames as the bytes of an mp4.

    Args:
        frames: uint8 `[T, 3, H, W]`.
        fps: Frames a second.
        crf: x264's constant rate factor.

    Raises:
        VideoJamError: an odd height or width.
    """
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.mp4"
        write_video(small, frames, fps, crf=crf)
        return small.read_bytes()
