"""The two halves, appearance and motion, of what a joint transformer reads and predicts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from videojam.families import Family
from videojam.families.stock import Transformer
from videojam.joint.latents import null_motion, with_level


class Halves(NamedTuple):
    """Where x and d lie in a transformer's input and output.

    Attributes:
        num_channels: C.
        dim: Axis of the channels.
        has_level: Whether the transformer reads d's own noise level behind d.
    """

    num_channels: int
    dim: int
    has_level: bool = False

    @classmethod
    def of(cls, family: Family, transformer: Transformer) -> Halves:
        """Return the halves of a joint transformer."""
        num_channels = family.latent_channels(transformer.config) // 2
        return cls(num_channels, family.channel_dim, family.has_level)

    def motion(self, hidden: Tensor) -> Tensor:
        """Return d of an input that may continue after it (image-to-video)."""
        return hidden.narrow(self.dim, self.num_channels, self.num_channels)

    def null(self, hidden: Tensor) -> Tensor:
        """Return the transformer's input with null motion."""
        return null_motion(hidden, self.num_channels, self.dim, has_level=self.has_level)

    def input_at(self, hidden: Tensor, t_d: float) -> Tensor:
        """Return the transformer's input of what a stock pipeline gives it, which knows no level of d."""
        return with_level(hidden, t_d, self.num_channels, self.dim) if self.has_level else hidden

    def join(self, of_x: Tensor, of_d: Tensor) -> Tensor:
        """Return the appearance half of one prediction with the motion half of another."""
        x = of_x.narrow(self.dim, 0, self.num_channels)
        return torch.cat([x, self.motion(of_d)], dim=self.dim)
