"""Clips in the autoencoder while others are read and written: one call at a time on a GPU, several on a CPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch

from videojam.data.latents import DrawnClip, EncodedPixels, encode_pixels
from videojam.data.workers import WorkerConfig
from videojam.models.load import LoadedModel

MAX_ENCODERS = 4
"""Most clips that are in the autoencoder at once: each has activations of its own, while the weights are shared."""


@dataclass(frozen=True)
class EncoderThreads:
    """Threads that encode batches.

    On a CPU each encodes one clip at a time with its share of the cores: two calls on a core each take half the CPU
    time of one after the other on both, and give the same bytes.

    Attributes:
        model: With its autoencoder.
        pool: The threads.
        num_threads: How many.
        takes_batches: Whether a call encodes several clips.
    """

    model: LoadedModel
    pool: ThreadPoolExecutor
    num_threads: int
    takes_batches: bool

    def submit(self, clips: list[DrawnClip]) -> Future[EncodedPixels]:
        """Encode clips of one size in one call, when a thread is free."""
        return self.pool.submit(partial(encode_pixels, _own(self.model), clips, together=True))


@contextmanager
def encoder_threads(model: LoadedModel, workers: WorkerConfig) -> Iterator[EncoderThreads]:
    """Start threads that encode; end them when the block does.

    Args:
        model: With its autoencoder.
        workers: On a CPU, no more clips are encoded at once than there are processes that read.
    """
    is_cpu = model.pipeline.vae.device.type == "cpu"
    before = torch.get_num_threads()
    num = max(1, min(before, workers.num_workers, MAX_ENCODERS)) if is_cpu else 1
    own = partial(torch.set_num_threads, max(1, before // num))  # it holds for the thread that calls it
    pool = ThreadPoolExecutor(num, "encode", own if is_cpu else None)
    try:
        yield EncoderThreads(model, pool, num, takes_batches=not is_cpu)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


def _own(model: LoadedModel) -> LoadedModel:
    """Return the model with an autoencoder of its own and the same weights, as stock ones keep frames in themselves."""
    pipeline = copy.copy(model.pipeline)
    pipeline.vae = copy.copy(pipeline.vae)
    return replace(model, pipeline=pipeline)
