"""Training with several processes, each of which holds the whole model."""

from __future__ import annotations

import os
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from videojam.errors import VideoJamError
from videojam.training.config import TrainConfig

REPLICATED = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


def start_processes(config: TrainConfig) -> Accelerator:
    """Join the processes of a launcher (`torchrun`, `accelerate launch`); on the CPU where there is no GPU.

    Raises:
        VideoJamError: the environment names other processes than there are, more than GPUs, or a batch or sharding
            that they can't do.
    """
    asked = _world_size()
    on_cpu = asked > 1 and not torch.cuda.is_available()
    if not on_cpu:
        _check_gpus()
    accelerator = Accelerator(cpu=on_cpu)
    if accelerator.num_processes != asked:
        raise _not_launched(asked, accelerator.num_processes)
    check_processes(config, accelerator.num_processes, accelerator.distributed_type)
    return accelerator


def _world_size() -> int:
    """Return how many processes the environment names, 1 if none.

    Raises:
        VideoJamError: no number, or several processes without what a launcher says to each.
    """
    words = os.environ.get("WORLD_SIZE", "") or "1"
    if not words.isdigit() or words == "0":
        raise VideoJamError(
            expected="a number of processes",
            found=repr(words),
            where="environment variable WORLD_SIZE",
            fix="Unset it.",
        )
    if int(words) > 1 and not os.environ.get("RANK", "").isdigit():
        raise _not_launched(int(words), 1)
    return int(words)


def _not_launched(asked: int, found: int) -> VideoJamError:
    return VideoJamError(
        expected=f"{asked} processes, as the environment variable WORLD_SIZE says",
        found=f"{found}",
        where="WORLD_SIZE",
        fix="Unset WORLD_SIZE to train with one process, or launch all with torchrun: docs/training.md.",
    )


def _check_gpus() -> None:
    """Refuse more processes on this machine than it has GPUs."""
    words = os.environ.get("LOCAL_WORLD_SIZE", "1")
    num_gpus = torch.cuda.device_count()
    if words.isdigit() and int(words) > max(1, num_gpus):
        raise VideoJamError(
            expected=f"at most {num_gpus} processes, one for each GPU of this machine",
            found=f"{words}",
            where="--nproc-per-node",
            fix="Launch fewer, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the CPU.",
        )


def check_processes(config: TrainConfig, num_processes: int, kind: DistributedType) -> None:
    """Refuse a batch that the processes can't share equally, and sharding, which the trainer doesn't do."""
    if config.batch_size % num_processes:
        raise VideoJamError(
            expected=f"batch_size to be a multiple of the {num_processes} processes",
            found=f"{config.batch_size}",
            where="batch_size",
            fix="Change it or the number of processes; it counts the clips of all processes together.",
        )
    if kind not in REPLICATED:
        raise VideoJamError(
            expected="processes that each hold the whole model (accelerate's multi-GPU or multi-CPU, DDP)",
            found=f"{kind.value}",
            where="accelerate's config",
            fix="Launch without it, or shard in your own loop: docs/ecosystem.md.",
        )


def replicated(accelerator: Accelerator, transformer: Any) -> Any:
    """Return the transformer as each process calls it, with what the families ask it for: DDP hides that."""
    prepared = accelerator.prepare(transformer)
    if prepared is not transformer:
        prepared.config, prepared.dtype = transformer.config, transformer.dtype
    return prepared
