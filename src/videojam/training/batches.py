"""Which clips are held out, and which ones each step sees."""

from __future__ import annotations

from functools import lru_cache

import torch

from videojam.data.encode import EncodedClip
from videojam.objective.draws import HELDOUT_SEED, generator_of


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
