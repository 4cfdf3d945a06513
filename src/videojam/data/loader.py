"""Batches of latents read ahead by threads, in an order that the caller states: what a step sees is a function of it.

Nothing is carried from batch to batch. A resumed run asks for the orders from its step on, and reads exactly what the
broken one would have read, with any number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from videojam.data.encoded import EncodedClip, batch_of, read_latents, stacked
from videojam.joint.batch import Batch
from videojam.seeds import generator_of

AHEAD = 2
"""Batches of each thread that are read or wait to be taken."""


@dataclass(frozen=True)
class Order:
    """A batch that is wanted.

    Attributes:
        step: Steps done before it.
        rows: Its rows in the batch of all processes.
        clips: Number of the clip in each of them.
    """

    step: int
    rows: tuple[int, ...]
    clips: tuple[int, ...]


@dataclass(frozen=True)
class LoaderConfig:
    """How batches are read.

    Attributes:
        num_workers: Threads that read ahead; 0: each batch is read when it is asked for.
        draw: Latents of prepared folders: the posterior's mean, or drawn from it.
        seed: Of the draws.
        read: Gives the tensors of a clip for a row of an order; None: its file does.
    """

    num_workers: int = 0
    draw: Literal["mean", "posterior"] = "mean"
    seed: int = 0
    read: Callable[[EncodedClip, Order, int], dict[str, Tensor]] | None = None


def read_ahead(
    clips: Sequence[EncodedClip], orders: Iterable[Order], config: LoaderConfig, device: torch.device | str
) -> Generator[Batch, None, None]:
    """Yield a batch for each order, float32, in their order.

    Args:
        clips: All training clips.
        orders: Which of them come together; endless or not.
        config: Threads and draws.
        device: Where the batches go; from page-locked memory to a GPU.

    Raises:
        VideoJamError: a clip's file is gone or damaged, or holds no deviations to draw with.
    """
    pins = torch.device(device).type == "cuda"
    if config.num_workers == 0:
        for order in orders:
            yield batch_of(_read(clips, order, config, pins=pins), device)
        return
    waiting: deque[Future[dict[str, Tensor]]] = deque()
    remaining = iter(orders)
    pool = ThreadPoolExecutor(config.num_workers, "videojam-loader")
    try:
        while True:
            for order in remaining:
                waiting.append(pool.submit(_read, clips, order, config, pins=pins))
                if len(waiting) == AHEAD * config.num_workers:
                    break
            if not waiting:
                return
            yield batch_of(waiting.popleft().result(), device)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def drawn(mean: Tensor, std: Tensor, seed: int, order: Order, row: int, name: str) -> Tensor:
    """Draw a latent from its posterior, mean + std · ε, float32; ε is a function of seed, step, row and name.

    Args:
        mean: Of the posterior.
        std: Its deviation.
        seed: Of the run.
        order: Gives the step.
        row: Of the batch of all processes.
        name: x or d.
    """
    generator = generator_of(seed, order.step, row, f"posterior {name}")
    return mean.float() + std.float() * torch.randn(mean.shape, generator=generator)


def _read(
    clips: Sequence[EncodedClip], order: Order, config: LoaderConfig, *, pins: bool
) -> dict[str, Tensor]:
    """Read and stack the tensors of a batch, in the types in which they are stored."""
    rows = [
        _tensors(clips[number], order, row, config)
        for row, number in zip(order.rows, order.clips, strict=True)
    ]
    tensors = stacked(rows)
    return {key: tensor.pin_memory() for key, tensor in tensors.items()} if pins else tensors


def _tensors(clip: EncodedClip, order: Order, row: int, config: LoaderConfig) -> dict[str, Tensor]:
    if config.read is not None:
        return config.read(clip, order, row)
    if config.draw == "mean":
        return read_latents(clip)
    tensors = read_latents(clip, with_std=True)
    stds = {name: tensors.pop(f"{name}_std") for name in ("x", "d")}
    return tensors | {
        name: drawn(tensors[name], std, config.seed, order, row, name) for name, std in stds.items()
    }
