"""Which clips each step sees, and their tensors."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from videojam.data.encode import EncodedClip, read_encoded
from videojam.families import Conditioning
from videojam.objective.loss import generator_of

HELDOUT_SEED = 0
"""Held-out clips, times and noise do not depend on a run's seed: runs compare, and a base's clips stay unseen."""


class Batch(NamedTuple):
    """Clean latents and text of some clips.

    Attributes:
        x: Appearance latents.
        d: Motion latents.
        text: Denoiser keywords, one row a clip; an image condition too, where the base has one.
    """

    x: Float[Tensor, "b c f h w"]
    d: Float[Tensor, "b c f h w"]
    text: Conditioning


def split_heldout(clips: list[EncodedClip], num_heldout: int) -> tuple[list[EncodedClip], list[EncodedClip]]:
    """Split clips into (training, held out), at random but alike for every run on these clips."""
    order = torch.randperm(len(clips), generator=generator_of(HELDOUT_SEED, 0, "heldout")).tolist()
    heldout = sorted(order[:num_heldout])
    return [clips[i] for i in sorted(order[num_heldout:])], [clips[i] for i in heldout]


def clips_of_step(num_clips: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Return the clip numbers of a step: every epoch is one permutation, a function of (seed, epoch).

    Nothing is carried from step to step, so a resumed run reads on exactly where the broken one stopped.
    """
    return [
        _epoch_order(num_clips, seed, position // num_clips)[position % num_clips]
        for position in range(step * batch_size, (step + 1) * batch_size)
    ]


@lru_cache(maxsize=4)
def _epoch_order(num_clips: int, seed: int, epoch: int) -> list[int]:
    return torch.randperm(num_clips, generator=generator_of(seed, epoch, "order")).tolist()


def read_batch(clips: list[EncodedClip], device: torch.device | str) -> Batch:
    """Read clips from the cache into one batch, float32."""
    tensors = [read_encoded(clip.path) for clip in clips]
    stacked = {key: torch.stack([t[key] for t in tensors]).to(device).float() for key in tensors[0]}
    cond = {
        key.partition(".")[2]: value for key, value in stacked.items() if key.startswith(("text.", "image."))
    }
    return Batch(stacked["x"], stacked["d"], cond)
