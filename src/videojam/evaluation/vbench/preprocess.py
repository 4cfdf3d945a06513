"""What VBench does to frames before each network, step by step.

Everything happens on float pixels in 0..255, as there: a bicubic resize may leave that range and is not rounded.
"""

from __future__ import annotations

from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.functional import InterpolationMode, center_crop, normalize, resize

SIDE_PX = 224
LONGEST_PX = 512
"""MUSIQ sees every size; VBench only shrinks what is longer than this."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def dino_input(video: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 short_h short_w"]:
    """Resize the short side to 224 px (bilinear, no antialias, no crop) and normalise as ImageNet.

    Args:
        video: Pixels.
    """
    frames = resize(video.float(), [SIDE_PX], InterpolationMode.BILINEAR, antialias=False)
    return normalize(frames.div(255), *IMAGENET)


def clip_input(video: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 224 224"]:
    """Resize the short side to 224 px (bicubic, no antialias), crop the centre, normalise as CLIP.

    Args:
        video: Pixels.
    """
    frames = resize(video.float(), [SIDE_PX], InterpolationMode.BICUBIC, antialias=False)
    return normalize(center_crop(frames, [SIDE_PX, SIDE_PX]).div(255), *CLIP)


def musiq_input(video: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 small_h small_w"]:
    """Shrink to a longest side of 512 px (bilinear, no antialias) where it is longer, and scale to 0..1.

    This is VBench's default, `imaging_quality_preprocessing_mode="longer"`.

    Args:
        video: Pixels.
    """
    height, width = video.shape[-2:]
    frames = video.float()
    if max(height, width) > LONGEST_PX:
        scale = LONGEST_PX / max(height, width)
        size = [int(scale * height), int(scale * width)]
        frames = resize(frames, size, InterpolationMode.BILINEAR, antialias=False)
    return frames.div(255)


def pad_to_multiple(
    frames: Float[Tensor, "t 3 h w"], multiple_px: int
) -> tuple[Float[Tensor, "t 3 padded_h padded_w"], tuple[slice, slice]]:
    """Pad both sides with the border's pixels, the odd one at the end, as RAFT and AMT do.

    Args:
        frames: Any float frames.
        multiple_px: What the sides shall divide by.

    Returns:
        The padded frames, and the rows and columns where the originals are.
    """
    height, width = frames.shape[-2:]
    more_rows, more_columns = -height % multiple_px, -width % multiple_px
    top, left = more_rows // 2, more_columns // 2
    margins = (left, more_columns - left, top, more_rows - top)
    padded = functional.pad(frames, margins, mode="replicate")
    return padded, (slice(top, top + height), slice(left, left + width))
