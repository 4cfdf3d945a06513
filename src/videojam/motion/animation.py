"""Animated pictures: WebP and GIF, which pages that show no video (a README) play by themselves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.files import write_file

GIF_MAX_FPS = 50.0
"""A GIF counts hundredths of a second, and browsers slow down what is faster than two of them a frame."""


def write_animation(
    path: str | Path, frames: UInt8[Tensor, "t 3 h w"], fps: float | int, quality: int | None = 80
) -> Path:
    """Write frames as an animation that loops for ever.

    Args:
        path: File that ends in .webp (smaller, all colours) or .gif (256 colours; shown everywhere).
        frames: uint8 RGB.
        fps: Frame rate; frames begin at the unit of time of the format that is nearest to i/fps.
        quality: Of WebP, 0 to 100; None writes it without loss. A GIF has none.

    Raises:
        VideoJamError: another suffix, no frames, or a rate that the format can't hold; no room or permission.
    """
    path = Path(path)
    is_gif = path.suffix.lower() == ".gif"
    _check(path, frames, fps, GIF_MAX_FPS if is_gif else 1000.0)
    unit_ms = 10 if is_gif else 1
    starts = [unit_ms * round(1000 * i / fps / unit_ms) for i in range(len(frames) + 1)]
    lasting = [after - start for start, after in pairwise(starts)]
    first, *rest = (Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy()) for frame in frames.cpu())
    kind = (
        {"format": "GIF"}
        if is_gif
        else {"format": "WEBP", "lossless": quality is None, "quality": quality or 80}
    )

    def save(unfinished: Path) -> None:
        first.save(unfinished, save_all=True, append_images=rest, duration=lasting, loop=0, **kind)

    return write_file(path, save, "Choose another place for the animation.")


def _check(path: Path, frames: Tensor, fps: float | int, max_fps: float) -> None:
    if path.suffix.lower() not in (".gif", ".webp"):
        problem = "a file ending in .webp or .gif", path.name, "Rename it; `write_video` writes mp4."
    elif len(frames) == 0:
        problem = "at least one frame", "none", "Give the frames of a clip."
    elif not 0 < fps <= max_fps:
        problem = (
            f"a frame rate above 0 and up to {max_fps:g} fps",
            f"{fps:g}",
            "Take every second frame, or .webp.",
        )
    else:
        return
    expected, found, fix = problem
    raise VideoJamError(expected=expected, found=found, where=str(path), fix=fix)
