"""What a training run holds: its state, which a checkpoint saves, and what stays the same from step to step."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from accelerate import Accelerator
from torch import Tensor

from videojam.data.encoded import EncodedClip
from videojam.data.loader import LoaderConfig, read_ahead
from videojam.data.online import OnlineReader
from videojam.joint.batch import Batch
from videojam.objective.denoiser import Denoiser
from videojam.training.batches import BatchSize, batch_sizes, orders_of
from videojam.training.config import TrainConfig
from videojam.training.speed import Meter
from videojam.training.votes import Votes
from videojam.training.window import Window


@dataclass
class TrainState:
    """Everything that the next step depends on; randomness and data order are functions of the step.

    Attributes:
        step: Steps done.
        parameters: Trained parameters by name (fp32 master weights); with FSDP2, this process's part of each.
        ema: Their running average, by name; empty without averaging.
        optimizers: Optimizers, each over a part of `parameters`.
        counts: Running counts for the log: steps, clipped and bad ones.
        window: Steps since the last log line.
        heldout: Held-out loss at this step, where it was measured.
    """

    step: int
    parameters: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizers: list[torch.optim.Optimizer]
    counts: dict[str, int]
    window: Window = field(default_factory=Window)
    heldout: float | None = None

    def release(self) -> None:
        """Let average, moments and gradients go, when no step is to come."""
        for parameter in self.parameters.values():
            parameter.grad = None
        self.parameters, self.ema, self.optimizers = {}, {}, []

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of the state under the names that they have in a checkpoint."""
        moments = {
            f"optimizer/{name}/{key}": value
            for name, parameter in self.parameters.items()
            for optimizer in self.optimizers
            for key, value in optimizer.state.get(parameter, {}).items()
        }
        parts = (("parameters", self.parameters), ("ema", self.ema))
        return {
            f"{part}/{name}": t.detach() for part, tensors in parts for name, t in tensors.items()
        } | moments


@dataclass(frozen=True)
class TrainRun:
    """What a run trains, on what and by which recipe.

    Attributes:
        config: The recipe.
        accelerator: Device, precision, processes.
        denoiser: Transformer to train, with its family and null text.
        state: Where the run stands; the steps change it in place.
        masks: New entries of the widened projections, by parameter name; empty for the control.
        clips: Training clips.
        heldout: Clips of the held-out losses.
        votes: What the processes agree on.
        meter: How fast it is.
        read: Encodes clips in the steps; None where they are encoded already.
    """

    config: TrainConfig
    accelerator: Accelerator
    denoiser: Denoiser
    state: TrainState
    masks: dict[str, Tensor]
    clips: list[EncodedClip]
    heldout: list[EncodedClip]
    votes: Votes = field(default_factory=Votes)
    meter: Meter = field(default_factory=Meter)
    read: OnlineReader | None = None

    @cached_property
    def buckets(self) -> tuple[str, ...]:
        """The size of each training clip; only clips of one size are batched."""
        return tuple(clip.bucket for clip in self.clips)

    @cached_property
    def batch_size(self) -> BatchSize:
        """Clips of a step, by their size where tokens are counted."""
        return batch_sizes(self.clips, self.config)

    @cached_property
    def batches(self) -> Generator[Batch, None, None]:
        """This process's batches from the state's step on, read ahead; a part of a step's rows each."""
        config, accelerator = self.config, self.accelerator
        ranks = accelerator.process_index, accelerator.num_processes
        orders = orders_of(self.buckets, self.batch_size, config, self.state.step, ranks)
        how = LoaderConfig(config.data.workers, config.data.draw, config.seed, self.read)
        return read_ahead(self.clips, orders, how, accelerator.device)

    def autocast(self) -> torch.autocast:
        """Compute in bf16 where the recipe says so; the weights stay fp32."""
        kind = self.accelerator.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=self.config.precision == "bf16")
