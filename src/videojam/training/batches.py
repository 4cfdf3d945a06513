"""Which clips are held out, and which ones each step sees."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import torch

from videojam.data.encoded import EncodedClip, read_latents
from videojam.data.loader import Order
from videojam.objective.draws import HELDOUT_SEED
from videojam.seeds import generator_of
from videojam.training.config import TrainConfig


def split_heldout(clips: list[EncodedClip], num_heldout: int) -> tuple[list[EncodedClip], list[EncodedClip]]:
    """Split clips into (training, held out), at random but alike for every run on these clips."""
    heldout = set(heldout_numbers(len(clips), num_heldout))
    return [clip for i, clip in enumerate(clips) if i not in heldout], [clips[i] for i in sorted(heldout)]


def heldout_numbers(num_clips: int, num_heldout: int) -> list[int]:
    """Return which of the clips are held out, in their order.

    Args:
        num_clips: Clips of the source.
        num_heldout: How many of them.
    """
    order = torch.randperm(num_clips, generator=generator_of(HELDOUT_SEED, 0, "heldout")).tolist()
    return sorted(order[:num_heldout])


BatchSize = int | tuple[tuple[str, int], ...]
"""Clips of a step: one number, or one for each size of clip."""


def batch_sizes(clips: list[EncodedClip], config: TrainConfig) -> BatchSize:
    """Return how many clips of each size make a step, by what the recipe's batch_by counts.

    Args:
        clips: Training clips.
        config: The recipe.
    """
    firsts = {clip.bucket: clip for clip in reversed(clips)}
    if config.batch_by == "clips" or len(firsts) < 2:
        return config.batch_size
    tokens = {bucket: math.prod(read_latents(clip)["x"].shape[1:]) for bucket, clip in sorted(firsts.items())}
    budget = config.batch_size * max(tokens.values())
    return tuple((bucket, budget // number) for bucket, number in tokens.items())


def _clips_of(batch_size: BatchSize, bucket: str) -> int:
    return batch_size if isinstance(batch_size, int) else dict(batch_size)[bucket]


def clips_of_step(buckets: tuple[str, ...], batch_size: BatchSize, seed: int, step: int) -> list[int]:
    """Return the clip numbers of a step, all of one size: a function of (seed, step) only.

    Nothing is carried from step to step, so a resumed run reads on exactly where the broken one stopped. Of clips of
    one size, every epoch is one permutation. Of several sizes, an epoch is a permutation within each size, cut into
    batches whose order is drawn; a size's last batch is filled up from its beginning.

    Args:
        buckets: Size of each clip.
        batch_size: Clips of a step.
        seed: Of the order.
        step: Steps done before.
    """
    num_clips = len(buckets)
    if not isinstance(batch_size, int) or len(set(buckets)) > 1:
        counts = Counter(buckets).items()
        num_batches = sum(-(-number // _clips_of(batch_size, bucket)) for bucket, number in counts)
        return _epoch_batches(buckets, batch_size, seed, step // num_batches)[step % num_batches]
    return [
        _epoch_order(num_clips, seed, position // num_clips)[position % num_clips]
        for position in range(step * batch_size, (step + 1) * batch_size)
    ]


@dataclass(frozen=True)
class MicroBatch:
    """What one process does in one forward and backward.

    Attributes:
        rows: Its rows of the batch.
        counts: Whether they count; a process with fewer rows than others goes along, so that none waits for it.
        is_last: Whether the gradient is summed over the processes after it.
    """

    rows: list[int]
    counts: bool
    is_last: bool


def micro_batches_of(num_rows: int, accumulation: int, rank: int, num_ranks: int) -> Iterator[MicroBatch]:
    """Deal the rows of a batch to a process, in parts of which every process has the same number.

    Args:
        num_rows: Clips of the batch; a multiple of the processes or not.
        accumulation: Parts that each process splits its share into, if the share has as many rows.
        rank: Number of the process.
        num_ranks: How many there are.
    """
    share = list(range(rank, num_rows, num_ranks))
    largest = math.ceil(num_rows / num_ranks)
    size = math.ceil(largest / accumulation)
    starts = range(0, largest, size)
    for start in starts:
        rows = share[start : start + size]
        yield MicroBatch(rows or [0], bool(rows), start == starts[-1])


def orders_of(
    buckets: tuple[str, ...],
    batch_size: BatchSize,
    config: TrainConfig,
    first_step: int,
    ranks: tuple[int, int],
) -> Iterator[Order]:
    """Yield without end what a process reads: for each step, its rows of the batch in parts.

    Args:
        buckets: Size of each clip.
        batch_size: Clips of a step.
        config: Accumulation and seed.
        first_step: Steps done before.
        ranks: Number of the process, and how many there are.
    """
    for step in count(first_step):
        numbers = clips_of_step(buckets, batch_size, config.seed, step)
        for micro in micro_batches_of(len(numbers), config.accumulation, *ranks):
            yield Order(step, tuple(micro.rows), tuple(numbers[row] for row in micro.rows))


def batches_of_one_size(clips: list[EncodedClip], batch_size: int) -> Iterator[tuple[int, list[EncodedClip]]]:
    """Yield clips in batches of one size, each with the number of clips before it.

    Args:
        clips: In the order in which they are taken.
        batch_size: Clips of a batch, at most.
    """
    done = 0
    for bucket in dict.fromkeys(clip.bucket for clip in clips):
        same = [clip for clip in clips if clip.bucket == bucket]
        for start in range(0, len(same), batch_size):
            batch = same[start : start + batch_size]
            yield done, batch
            done += len(batch)


@lru_cache(maxsize=4)
def _epoch_order(num_clips: int, seed: int, epoch: int) -> list[int]:
    return torch.randperm(num_clips, generator=generator_of(seed, epoch, "order")).tolist()


@lru_cache(maxsize=4)
def _epoch_batches(buckets: tuple[str, ...], batch_size: BatchSize, seed: int, epoch: int) -> list[list[int]]:
    order = _epoch_order(len(buckets), seed, epoch)
    batches = []
    for bucket in sorted(set(buckets)):
        numbers = [number for number in order if buckets[number] == bucket]
        size = _clips_of(batch_size, bucket)
        num_batches = -(-len(numbers) // size)
        filled = [numbers[i % len(numbers)] for i in range(num_batches * size)]
        batches += [filled[i : i + size] for i in range(0, len(filled), size)]
    shuffled = torch.randperm(len(batches), generator=generator_of(seed, epoch, "batches")).tolist()
    return [batches[i] for i in shuffled]
