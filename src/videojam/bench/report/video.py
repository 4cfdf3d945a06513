"""A clip inside an HTML page: the player's tag, with the file in it."""

from __future__ import annotations

import base64
import tempfile
from html import escape
from pathlib import Path

from torch import Tensor

from videojam.motion.video import CRF, VideoInfo, write_video


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
