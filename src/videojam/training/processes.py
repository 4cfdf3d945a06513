"""Training with several processes: each holds the whole model (DDP), or a part of it (FSDP2)."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, InitProcessGroupKwargs

from videojam.errors import VideoJamError
from videojam.training.config import TrainConfig
from videojam.training.sharding import shard

KNOWN = (
    DistributedType.NO,
    DistributedType.MULTI_CPU,
    DistributedType.MULTI_GPU,
    DistributedType.FSDP,
)


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
    accelerator = Accelerator(
        cpu=on_cpu, kwargs_handlers=[InitProcessGroupKwargs(**_group(config, asked, on_cpu))]
    )
    if accelerator.num_processes != asked:
        raise _not_launched(asked, accelerator.num_processes)
    check_processes(config, accelerator.num_processes, accelerator.distributed_type)
    return accelerator


def _group(config: TrainConfig, asked: int, on_cpu: bool) -> dict[str, Any]:
    """Return how the processes talk in steps; on the host too, where parts of the model are kept there."""
    # of one collective; waits that may be longer, as while clips are encoded, are made of votes
    timeout = timedelta(seconds=config.parallel.timeout_s)
    if asked > 1 and not on_cpu and config.parallel.cpu_offload:
        return {"timeout": timeout, "backend": "cuda:nccl,cpu:gloo"}
    return {"timeout": timeout}


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
            fix="Unset it, or launch with torchrun, which sets it.",
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
    """Refuse fewer clips than processes, sharding by one process, and what accelerate shards in other ways.

    Raises:
        VideoJamError: says which of these.
    """
    if config.batch_size < num_processes:
        raise VideoJamError(
            expected=f"batch_size of at least {num_processes}, a clip for each process",
            found=f"{config.batch_size}",
            where="batch_size",
            fix="Raise it, or start fewer processes; it counts the clips of all processes together.",
        )
    if kind not in KNOWN:
        raise VideoJamError(
            expected="processes that hold the whole model each (DDP), or FSDP2",
            found=f"{kind.value}",
            where="accelerate's config",
            fix="Launch with torchrun or `accelerate launch --multi_gpu`, and set parallel.kind in the recipe.",
        )
    if kind == DistributedType.FSDP and config.parallel.kind != "fsdp":
        raise VideoJamError(
            expected="parallel.kind: fsdp in the recipe, as accelerate's config shards the model",
            found=f"parallel.kind: {config.parallel.kind}",
            where="accelerate's config",
            fix="Set parallel.kind: fsdp; the recipe's keys decide how, not accelerate's plugin.",
        )


def spread(config: TrainConfig, accelerator: Accelerator, transformer: Any) -> Any:
    """Return the transformer as each process calls it; with FSDP2 it is cut in place, so optimizers come after it.

    Args:
        config: The recipe.
        accelerator: Processes and device.
        transformer: With everything that is trained marked.
    """
    if accelerator.num_processes > 1 and config.parallel.kind == "fsdp":
        kind = accelerator.device.type
        return shard(
            transformer, kind, bf16=config.precision == "bf16", cpu_offload=config.parallel.cpu_offload
        )
    # an offloaded transformer is in two places, and stays there
    prepared = accelerator.prepare(transformer, device_placement=[config.offload_blocks is None])
    if prepared is not transformer:  # what the families ask of the transformer, which DDP hides
        prepared.config, prepared.dtype = transformer.config, transformer.dtype
    return prepared
