"""The recipe of a training run: strict, complete, one description a field."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from videojam.data.config import DataConfig
from videojam.motion.code import MotionCode
from videojam.objective.config import ObjectiveConfig
from videojam.strict import Strict


class OptimizerConfig(Strict):
    """AdamW or Muon, warm-up, and the rate of what is new."""

    name: Literal["adamw", "muon"] = Field(
        "adamw",
        description="muon: Muon for the matrices of the blocks, AdamW for the rest; for training from scratch.",
    )
    learning_rate: float = Field(5e-6, description="Rate of the pretrained weights [paper: 5e-6].", gt=0)
    new_rate_factor: float = Field(
        10.0,
        description="Rate of the new rows and columns of the two projections, as a multiple of learning_rate.",
        gt=0,
    )
    schedule: Literal["constant", "cosine", "linear"] = Field("constant", description="Rate after warm-up.")
    warmup_steps: int = Field(0, description="Steps of linear warm-up.", ge=0)
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's moment decays.")
    weight_decay: float = Field(0.0, description="Decay, decoupled from the gradient.", ge=0)
    clip_norm: float | None = Field(
        1.0, description="Largest gradient norm; the clipped share is logged.", gt=0
    )
    largest_norm: float | None = Field(
        None,
        description="A step whose gradient norm is larger counts as bad, as one that is NaN does; default: no limit.",
        gt=0,
    )


class LoraConfig(Strict):
    """Low-rank adapters on attention; the two projections are trained in full beside them."""

    rank: int = Field(16, description="Rank.", ge=1)
    alpha: int | None = Field(None, description="Scale; default: the rank.", ge=1)
    target_modules: tuple[str, ...] = Field(
        ("to_q", "to_k", "to_v", "to_out.0"), description="Layers that get an adapter.", min_length=1
    )


class ParallelConfig(Strict):
    """How several processes (torchrun, accelerate launch) share the work; one process needs none of it."""

    kind: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="ddp: each process holds the whole model. fsdp: FSDP2, each holds a part of every block, and of "
        "gradients, moments and average.",
    )
    cpu_offload: bool = Field(
        False,
        description="Of fsdp: keep the parts in the host's memory; slow, for models that don't fit else.",
    )
    timeout_s: float = Field(
        600.0, description="Seconds after which a process that doesn't answer stops the others.", gt=0
    )

    @model_validator(mode="after")
    def _consistent(self) -> ParallelConfig:
        if self.cpu_offload and self.kind != "fsdp":
            raise ValueError("parallel.cpu_offload belongs to parallel.kind: fsdp")
        return self


class TrainConfig(Strict):
    """A training run; `videojam train --fields` prints every field with its meaning."""

    base: str = Field(
        description="Base pipeline: folder, hub id or shipped name. A base that is not converted yet is converted "
        "when training starts; a joint one is trained further."
    )
    out: Path = Field(description="Folder of the run: checkpoints, log, and the trained model in out/model.")
    method: Literal["videojam", "plain"] = Field(
        "videojam",
        description="videojam: joint fine-tune; plain: the control, same data and noise, no motion.",
    )
    image_to_video: bool = Field(
        False,
        description="Train with each clip's first frame given, where a text-to-video base can do both "
        "(TI2V-5B, LTX); an image-to-video base does so always.",
    )
    data: DataConfig = Field(description="Clips and cache.")
    motion: MotionCode = Field(
        MotionCode(),
        description="How flow is measured and drawn; keys left out are those of a joint base's own record.",
    )
    raft_weights: str = Field("C_T_V1", description="RAFT's weights: torchvision's name or a file.")
    output_init: Literal["zero", "copy"] = Field("zero", description="How the motion output rows start.")
    objective: ObjectiveConfig = Field(ObjectiveConfig(), description="Losses, dropout and times.")
    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="Rates.")
    lora: LoraConfig | None = Field(None, description="Adapters instead of a full fine-tune.")
    expert: str | None = Field(
        None,
        description="Of a pipeline with two experts, the one to train, by component name, on its own range of t.",
    )
    num_steps: int = Field(description="Optimizer steps.", ge=1)
    batch_size: int = Field(1, description="Clips of a step, over all processes.", ge=1)
    accumulation: int = Field(1, description="Parts that each process splits its batch into.", ge=1)
    precision: Literal["bf16", "fp32"] = Field("bf16", description="Compute; master weights are fp32 always.")
    save_dtype: Literal["bf16", "fp32"] = Field("bf16", description="Type of the weights in out/model.")
    ema_decay: float = Field(
        0.999, description="Decay of the averaged weights that are saved; 0: no average.", ge=0, lt=1
    )
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, more time.")
    compile: Literal["none", "blocks", "whole"] = Field(
        "none",
        description="torch.compile each transformer block (quick to compile), or the whole transformer "
        "(faster where it is small).",
    )
    seed: int = Field(
        0, description="Seed of data order, times, noise, dropout and the adapters' start.", ge=0
    )
    log_every: int = Field(10, description="Steps between log lines.", ge=1)
    bad_steps: Literal["stop", "skip"] = Field(
        "stop",
        description="What a step does whose gradient is NaN, infinite or over optimizer.largest_norm. It changes no "
        "weight; stop: the run ends, skip: it goes on, and counts such steps.",
    )
    checkpoint_every: int = Field(500, description="Steps between checkpoints.", ge=1)
    keep_checkpoints: int = Field(
        2, description="Newest checkpoints kept; the one with the lowest held-out loss is kept too.", ge=1
    )
    resume: Literal["auto", "never"] | Path = Field(
        "auto",
        description="auto: go on from the newest checkpoint in out. never: refuse an out folder that has one. A "
        "checkpoint's folder: go on from it.",
    )
    max_minutes: float | None = Field(
        None,
        description="Save and exit before the process has run so long, for clusters with a time limit.",
        gt=0,
    )
    parallel: ParallelConfig = Field(ParallelConfig(), description="Several processes.")
    validate_every: int = Field(500, description="Steps between held-out losses.", ge=1)
    validate_t: tuple[float, ...] = Field(
        (0.1, 0.3, 0.5, 0.7, 0.9), description="Times of the held-out losses.", min_length=1
    )

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of accumulation {self.accumulation}"
            )
        if self.method != "plain" and self.objective.moving_weight != 1:
            raise ValueError(
                f"objective.moving_weight {self.objective.moving_weight:g} weights the loss of method plain, and "
                f"method is {self.method}: set method: plain, or leave moving_weight out"
            )
        if any(not 0 < t < 1 for t in self.validate_t):
            raise ValueError("validate_t: every time lies between 0 and 1")
        return self
