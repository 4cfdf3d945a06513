"""A decoded frame as it is meant to be seen: colours, orientation and shape of the pixels."""

from __future__ import annotations

import struct
from typing import Any, Literal

import torch
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from torch import Tensor
from torch.nn import functional

from videojam.errors import VideoJamError
from videojam.motion.scaling import ROUNDED_SCALING

Fit = Literal["crop", "letterbox"]
"""How a frame of another shape gets a size: covering it, the rest cropped; or inside of it, the rest black."""

# Players take untagged video of at least this height for bt709 and smaller for bt601.
_HD_HEIGHT_PX = 720
_UNSPECIFIED_COLORSPACE = 2
# Wider or narrower pixels than these are a broken header; the frame would fill the memory.
_NARROWEST, _WIDEST = 1 / 8, 8.0


def to_rgb(image: VideoFrame, converter: VideoReformatter | None = None) -> Tensor:
    """Convert to uint8 RGB [3, H, W] in the colours that the file's tags say; orientation as stored.

    Args:
        image: PyAV's frame.
        converter: Of the frames before it, whose tables are kept; a new one if None.
    """
    # PyAV reads the tag as an int that need not be a member of its enum.
    colorspace = int(image.colorspace)
    if colorspace == _UNSPECIFIED_COLORSPACE:
        colorspace = int(Colorspace.ITU709 if image.height >= _HD_HEIGHT_PX else Colorspace.ITU601)
    rgb = (converter or VideoReformatter()).reformat(
        image,
        format="rgb24",
        src_colorspace=colorspace,
        dst_color_range=ColorRange.JPEG,
        interpolation=ROUNDED_SCALING,
        threads=1,
    )
    return torch.from_numpy(rgb.to_ndarray()).permute(2, 0, 1)


def display_size(height: int, width: int, pixel_aspect: float) -> tuple[int, int]:
    """Return height and width in square pixels: the shorter side of a pixel decides, so that no row is lost.

    Args:
        height: As stored, in px.
        width: As stored, in px.
        pixel_aspect: Width over height of a pixel.

    Raises:
        VideoJamError: a shape that no camera has.
    """
    if not _NARROWEST <= pixel_aspect <= _WIDEST:
        raise VideoJamError(
            expected="pixels between 1:8 and 8:1",
            found=f"{pixel_aspect:g}:1",
            where="pixel aspect ratio of the file",
            fix="Correct it, for instance: ffmpeg -i CLIP -vf setsar=1 NEW",
        )
    if pixel_aspect > 1:
        return height, round(width * pixel_aspect)
    return round(height / pixel_aspect), width


def is_plain(image: VideoFrame, pixel_aspect: float) -> bool:
    """Whether a frame is stored as it is meant to be seen: no turn, no mirror, square pixels."""
    size = (image.height, image.width)
    return _turns(image) == (False, False, False) and display_size(*size, pixel_aspect) == size


def shown(
    image: VideoFrame,
    pixel_aspect: float,
    size: tuple[int, int] | None = None,
    fit: Fit = "crop",
    converter: VideoReformatter | None = None,
) -> Tensor:
    """Return a frame as it is meant to be seen, uint8 RGB [3, H, W].

    Args:
        image: PyAV's frame.
        pixel_aspect: Width over height of a stored pixel.
        size: Height and width wanted, in px; those of the frame in square pixels if None.
        fit: How a frame of another shape gets that size.
        converter: Of the frames before it; a new one if None.
    """
    pixels = to_rgb(image, converter)
    natural = display_size(image.height, image.width, pixel_aspect)
    is_transposed, flips_x, flips_y = _turns(image)
    if is_transposed:
        pixels, natural = pixels.transpose(1, 2), natural[::-1]
    dims = [axis for axis, flips in ((1, flips_y), (2, flips_x)) if flips]
    resize = cover if fit == "crop" else contain
    return resize(pixels.flip(dims) if dims else pixels, size or natural, natural)


def cover(pixels: Tensor, size: tuple[int, int], natural: tuple[int, int] | None = None) -> Tensor:
    """Resize (antialiased, aspect kept) until the size is covered, then crop its centre.

    Args:
        pixels: uint8 [3, H, W].
        size: Height and width wanted, in px.
        natural: Height and width of the frame in square pixels; those of `pixels` if None.
    """
    height, width = size
    own_height, own_width = natural or tuple(pixels.shape[1:])
    if tuple(pixels.shape[1:]) == (height, width) == (own_height, own_width):
        return pixels
    ratio = max(height / own_height, width / own_width)
    resized = (max(height, round(own_height * ratio)), max(width, round(own_width * ratio)))
    enlarged = _interpolated(pixels, resized)
    top, left = (resized[0] - height) // 2, (resized[1] - width) // 2
    return enlarged[:, top : top + height, left : left + width]


def contain(pixels: Tensor, size: tuple[int, int], natural: tuple[int, int] | None = None) -> Tensor:
    """Resize (antialiased, aspect kept) until the whole picture fits into the size; what is left is black.

    Args:
        pixels: uint8 [3, H, W].
        size: Height and width wanted, in px.
        natural: Height and width of the frame in square pixels; those of `pixels` if None.
    """
    height, width = size
    own_height, own_width = natural or tuple(pixels.shape[1:])
    ratio = min(height / own_height, width / own_width)
    inner = (
        min(height, max(1, round(own_height * ratio))),
        min(width, max(1, round(own_width * ratio))),
    )
    if tuple(pixels.shape[1:]) != inner:
        pixels = _interpolated(pixels, inner)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    return functional.pad(pixels, (left, width - inner[1] - left, top, height - inner[0] - top))


def _turns(image: VideoFrame) -> tuple[bool, bool, bool]:
    """Return whether a frame is transposed, then mirrored left-right, then top-bottom, to be seen.

    Its display matrix maps a stored pixel (x, y) to (a·x + c·y, b·x + d·y); of an odd angle, the nearest of the eight
    orientations is taken.
    """
    matrix: Any = image.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _interpolated(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    # Colours of a pixel stay side by side, as they are decoded: twice as fast as plane by plane.
    return functional.interpolate(pixels[None], size=size, mode="bicubic", antialias=True)[0]
