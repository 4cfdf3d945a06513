"""The recipe of a training run: strict, complete, one description a field."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from videojam.data.config import DataConfig
from videojam.guidance.rules import rule_of
from videojam.misfits import ContradictionError
from videojam.motion.code import MotionCode
from videojam.objective.config import ObjectiveConfig
from videojam.sampling.settings import SampleSettings
from videojam.strict import Seed, Strict


class OptimizerConfig(Strict):
    """The optimizer, warm-up, and the rate of what is new."""

    name: Literal["adamw", "muon", "adafactor", "adamw_8bit"] = Field(
        "adamw",
        description="muon: Muon for the matrices of the blocks, AdamW for the rest; for training from scratch. "
        "adafactor: torch's, whose second moments are a row and a column. adamw_8bit: moments of 8 bits "
        "(bitsandbytes, the extra `8bit`).",
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
    base_weights: Literal["fp32", "bf16", "fp8", "int8"] | None = Field(
        None,
        description="Type in which the frozen matrices are held; fp8 and int8 have a scale for each row (torchao, the "
        "extra `8bit`). Adapters, projections, norms and biases are fp32. Default: as precision.",
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
        600.0,
        description="Seconds after which a process that doesn't answer, in a step or for its part of a checkpoint, "
        "stops the others.",
        gt=0,
    )

    @model_validator(mode="after")
    def _consistent(self) -> ParallelConfig:
        if self.cpu_offload and self.kind != "fsdp":
            raise ContradictionError(
                "parallel.kind: fsdp where parallel.cpu_offload is true",
                {"cpu_offload": True, "kind": self.kind},
            )
        return self


class SamplesConfig(Strict):
    """Validation clips: what the model samples while it is trained, beside the base's clips from the same noise."""

    every: int = Field(1000, description="Steps between validation clips; the last step has some, too.", ge=1)
    prompts: tuple[str, ...] = Field(
        (), description="Their texts. Default: the captions of the first two held-out clips."
    )
    images: tuple[Path, ...] = Field(
        (), description="First frames, a file for each prompt, where the base takes an image."
    )
    seed: Seed = Field(0, description="Seed of the first clip's noise; the next clips follow it.")
    settings: SampleSettings = Field(
        SampleSettings(), description="How they are sampled; sizes default to those of the training clips."
    )
    tiled: bool = Field(
        False, description="Decode in tiles: less memory, and seams may be seen; of autoencoders that can."
    )

    @model_validator(mode="after")
    def _consistent(self) -> SamplesConfig:
        if len(self.images) not in (0, len(self.prompts)):
            raise ContradictionError(
                f"samples.images has {len(self.images)} files, and samples.prompts {len(self.prompts)} texts: "
                "give one for each",
                {"images": len(self.images), "prompts": len(self.prompts)},
            )
        mode = self.settings.mode
        if self.settings.weaker is not None or (mode is not None and rule_of(mode).needs_weaker):
            given = {"settings.mode": mode, "settings.weaker": self.settings.weaker}
            raise ContradictionError(
                "samples.settings: guidance auto needs a second model in memory: sample it after training",
                {key: value for key, value in given.items() if value is not None},
            )
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
    batch_by: Literal["clips", "tokens"] = Field(
        "clips",
        description="Of clips of several sizes (a prepared folder's buckets): clips: every step has batch_size clips. "
        "tokens: batch_size clips of the largest size, and of a smaller one as many as hold no more tokens together.",
    )
    accumulation: int = Field(1, description="Parts that each process splits its batch into.", ge=1)
    precision: Literal["bf16", "fp32"] = Field("bf16", description="Compute.")
    master_weights: Literal["fp32", "bf16"] = Field(
        "fp32",
        description="Of a full fine-tune: type in which the trained matrices are held. bf16: rounded stochastically "
        "after each step, 12 bytes a parameter instead of 16 (without the average).",
    )
    save_dtype: Literal["bf16", "fp32"] = Field("bf16", description="Type of the weights in out/model.")
    ema_decay: float = Field(
        0.999, description="Decay of the averaged weights that are saved; 0: no average.", ge=0, lt=1
    )
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, more time.")
    offload_blocks: int | None = Field(
        None,
        description="Of a LoRA: keep the frozen blocks in the host's memory, and so many of them on the device while "
        "they run; needs gradient_checkpointing.",
        ge=1,
    )
    compile: Literal["none", "blocks", "whole"] = Field(
        "none",
        description="torch.compile each transformer block (quick to compile), or the whole transformer "
        "(faster where it is small).",
    )
    seed: Seed = Field(0, description="Seed of data order, times, noise, dropout and the adapters' start.")
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
    validate_guidance: bool = Field(
        True,
        description="Measure w* of motion with the held-out losses: the scale of guidance by the model's own motion "
        "that would lower the appearance error most.",
    )
    samples: SamplesConfig | None = Field(
        None,
        description="Validation clips at intervals, into out/samples; default: no clips, as they take time.",
    )
    trackers: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = Field(
        ("tensorboard",), description="Where log lines go besides out/log.jsonl."
    )

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"batch_size as a multiple of accumulation ({self.batch_size} is no multiple of {self.accumulation})"
            )
        if self.method != "plain" and self.objective.moving_weight != 1:
            raise ValueError(
                f"objective.moving_weight {self.objective.moving_weight:g} weights the loss of method plain, and "
                f"method is {self.method}: set method: plain, or leave moving_weight out"
            )
        if self.samples is not None and self.expert is not None:
            raise ValueError(
                "samples needs the whole model, and of two experts only one is in memory: leave samples out, and "
                "sample out/model after training"
            )
        self._consistent_memory()
        if any(not 0 < t < 1 for t in self.validate_t):
            raise ValueError("validate_t: every time lies between 0 and 1")
        return self

    def _consistent_memory(self) -> None:
        """Refuse types of the weights that don't go together."""
        lora = self.lora
        if self.precision == "fp32" and lora is not None and lora.base_weights not in (None, "fp32"):
            raise ValueError(f"lora.base_weights {lora.base_weights} needs precision: bf16")
        if self.master_weights == "bf16":
            if lora is not None:
                raise ValueError("master_weights bf16 is of a full fine-tune: set lora.base_weights instead")
            if self.precision == "fp32":
                raise ValueError("master_weights bf16 needs precision: bf16")
            if self.optimizer.name != "adamw":
                raise ValueError(
                    f"master_weights bf16 needs optimizer.name: adamw, which rounds stochastically, and not "
                    f"{self.optimizer.name}"
                )
        small = self.master_weights == "bf16" or (
            lora is not None and lora.base_weights not in (None, "fp32")
        )
        if self.parallel.kind == "fsdp" and (small or self.offload_blocks is not None):
            raise ValueError(
                "parallel.kind fsdp holds fp32 parts: leave out lora.base_weights, master_weights and offload_blocks"
            )
        if self.offload_blocks is not None and (lora is None or not self.gradient_checkpointing):
            raise ValueError("offload_blocks needs lora and gradient_checkpointing: true")
        if self.offload_blocks is not None and lora is not None and lora.base_weights in ("fp8", "int8"):
            raise ValueError(
                f"offload_blocks moves bf16 and fp32 weights, not the 8-bit ones of {lora.base_weights}"
            )
