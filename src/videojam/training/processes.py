"""Training with several processes, each of which holds the whole model."""

from __future__ import annotations

from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType

from videojam.errors import VideoJamError
from videojam.training.config import TrainConfig

REPLICATED = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


def check_processes(config: TrainConfig, num_processes: int, kind: DistributedType) -> None:
    """Refuse a batch that the processes can't share equally, and sharding, which the trainer doesn't do."""
    if config.batch_size % num_processes:
        raise VideoJamError(
            expected=f"batch_size to be a multiple of the {num_processes} processes",
            found=f"{config.batch_size}",
            where="batch_size",
            fix="It counts the clips of all processes together.",
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
