"""A base architecture that is trained and sampled, put together from its four parts."""

from __future__ import annotations

from dataclasses import dataclass

from videojam.families.denoising import Denoising
from videojam.families.latent_codec import LatentCodec
from videojam.families.pipeline_adapter import PipelineAdapter


@dataclass(frozen=True)
class Family(PipelineAdapter, Denoising, LatentCodec):
    """Projections, latent codec, denoising and pipeline adapter of one architecture.

    A joint model is the stock class with 2C channels in and out, so a family holds nothing that the stock
    pipeline already does. A family's file overrides of each part what its architecture does differently; only
    `denoise` has no default. A class that is only converted is its `Projections`, and none of this.
    """
