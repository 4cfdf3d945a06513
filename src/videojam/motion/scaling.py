"""The one setting of FFmpeg's scaler with which frames are converted between RGB and YUV."""

from __future__ import annotations

from av.video.reformatter import Interpolation

ROUNDED_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
