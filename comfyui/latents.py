"""The latent format of a joint model: 2C channels, each half in the base's own scale."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from videojam.errors import VideoJamError
from videojam.joint.latents import join, split


class JointFormat:
    """A base's latent format for both halves; ComfyUI asks it for channels, scales and previews.

    The motion half is larger by the gain of the model's motion code. Previews show the appearance.

    Args:
        base: The base's own format, of C channels.
        gain: Factor on the motion's latents, of the motion record.
    """

    def __init__(self, base: Any, gain: float = 1.0) -> None:
        self.base, self.gain = base, gain
        self.latent_channels = 2 * base.latent_channels
        self.taesd_decoder_name = None  # a decoder of C channels
        factors = base.latent_rgb_factors
        self.latent_rgb_factors = None if factors is None else [*factors, *([[0.0] * 3] * len(factors))]

    def __getattr__(self, name: str) -> Any:
        """Return what does not depend on the channels from the base's format."""
        if name == "base":  # not there yet, while a copy is made
            raise AttributeError(name)
        return getattr(self.base, name)

    def process_in(self, latent: Tensor) -> Tensor:
        """Bring latents of the autoencoder to the scale of the transformer."""
        x, d = split(latent)
        return join(self.base.process_in(x), self.base.process_in(d) * self.gain)

    def process_out(self, latent: Tensor) -> Tensor:
        """Invert `process_in`."""
        x, d = split(latent)
        return join(self.base.process_out(x), self.base.process_out(d / self.gain))


def base_format(format_of_model: Any, num_channels: int) -> Any:
    """Return the format of the base's C channels.

    ComfyUI distinguishes Wan 2.1 from Wan 2.2 TI2V-5B by the channels that the transformer writes, which a joint one
    doubles.

    Args:
        format_of_model: What ComfyUI chose.
        num_channels: C.

    Raises:
        VideoJamError: no format of so many channels is known.
    """
    if format_of_model.latent_channels == num_channels:
        return format_of_model
    import comfy.latent_formats as formats

    for kind in (formats.Wan21, formats.Wan22):
        if kind.latent_channels == num_channels:
            return kind()
    raise VideoJamError(
        expected=f"a base of {format_of_model.latent_channels}, 16 or 48 latent channels",
        found=f"{num_channels}",
        where="the latent format",
        fix="Sample this model with `videojam generate`.",
    )
