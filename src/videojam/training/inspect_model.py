"""`videojam inspect`: what a model is, what converting changes, and what memory training it will take."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, computed_field

from videojam.models.describe import ModelFacts, TransformerFacts, describe_model
from videojam.training.config import LoraConfig

GIB = 2**30
ACTIVATIONS = (
    "Activations are not counted: they depend on the clips' size and the batch. "
    "gradient_checkpointing keeps one block's at a time."
)


class TrainingMemory(BaseModel):
    """Bytes that training one transformer holds, as the trainer allocates them; activations are not counted.

    Master weights, gradients and averages are fp32 (4 bytes a parameter), Adam has two fp32 moments (8). Under
    `precision: bf16` the layers compute on bf16 copies of their weights, which live until the backward pass.
    """

    model_config = ConfigDict(frozen=True)

    method: str = Field(description="full, or lora with its rank.")
    num_trained: int = Field(description="Parameters that are trained.")
    weights: int = Field(description="fp32 weights: 4 bytes a parameter, trained or not.")
    gradients: int = Field(description="4 bytes a trained parameter.")
    adam: int = Field(description="8 bytes a trained parameter.")
    ema: int = Field(description="4 bytes a trained parameter; 0 with ema_decay: 0.")
    bf16_copies: int = Field(description="2 bytes a parameter while a step runs; 0 with precision: fp32.")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> int:
        """Sum of all."""
        return self.weights + self.gradients + self.adam + self.ema + self.bf16_copies


class Inspection(BaseModel):
    """What `videojam inspect` reports."""

    model_config = ConfigDict(frozen=True)

    model: ModelFacts = Field(description="What it is, and what converting changes.")
    memory: list[TrainingMemory] = Field(description="Of training one transformer: full, then LoRA.")
    start: int | None = Field(
        description="Bytes of all components in fp32 while clips are encoded, with the base beside its joint "
        "copy; they are freed before the first step. None where the files aren't there to be counted."
    )
    activations: str = Field(ACTIVATIONS, description="What the memory leaves out.")


def inspect_model(source: str | Path, *, revision: str | None = None, lora_rank: int = 16) -> Inspection:
    """Describe a folder or hub id: what it is, what converting changes, and what memory training takes.

    Reads only configs and headers: a model of any size takes a moment and a few MB.

    Args:
        source: Pipeline folder, bare transformer folder, hub id or shipped model, base or joint.
        revision: Revision of a hub id.
        lora_rank: Rank of the adapters that the second estimate is for.

    Raises:
        VideoJamError: not a model of a known class, half-copied, or quantised.
    """
    model = describe_model(source, revision)
    first = model.transformers[0]  # the experts of a mixture are of one size, and trained one by one
    lora = LoraConfig(rank=lora_rank)
    memory = [training_memory(first), training_memory(first, lora)]
    return Inspection(model=model, memory=memory, start=_start(model))


def _start(model: ModelFacts) -> int | None:
    """Count what `training.run.train` holds at its fullest before the first step."""
    if model.num_other_parameters is None:
        return None
    num_all = sum(model.num_other_parameters.values())
    num_all += sum(transformer.num_parameters for transformer in model.transformers)
    return 4 * (num_all if model.is_joint else num_all + model.transformers[0].num_joint_parameters)


def training_memory(
    transformer: TransformerFacts, lora: LoraConfig | None = None, *, ema: bool = True, bf16: bool = True
) -> TrainingMemory:
    """Count the bytes of training the joint model of a transformer.

    Args:
        transformer: Its facts.
        lora: Adapters instead of a full fine-tune.
        ema: Whether averages are kept.
        bf16: Whether the layers compute in bf16.
    """
    num_all = num_trained = transformer.num_joint_parameters
    if lora is not None:
        adapters = num_lora_parameters(transformer, lora)
        num_all += adapters
        num_trained = adapters + transformer.num_projection_parameters
    return TrainingMemory(
        method=f"lora, rank {lora.rank}" if lora else "full",
        num_trained=num_trained,
        weights=4 * num_all,
        gradients=4 * num_trained,
        adam=8 * num_trained,
        ema=4 * num_trained if ema else 0,
        bf16_copies=2 * num_all if bf16 else 0,
    )


def num_lora_parameters(transformer: TransformerFacts, lora: LoraConfig) -> int:
    """Count the adapters' parameters: rank · (in + out) for every linear layer whose name ends as asked."""
    return sum(
        lora.rank * sum(shape)
        for name, shape in transformer.joint_shapes.items()
        if len(shape) == 2 and any(f".{name}".endswith(f".{target}.weight") for target in lora.target_modules)
    )


def describe_lines(inspection: Inspection) -> list[str]:
    """Write an inspection as lines for people."""
    model = inspection.model
    kind = {
        True: "a joint model",
        False: "a base model",
        None: "base or joint is unknown without a pipeline",
    }
    lines = [f"{model.source}: {model.pipeline_class or 'a bare transformer folder'}, {kind[model.is_joint]}"]
    if model.record is not None:
        record = model.record
        lines.append(
            f"  motion: {record.motion}; base {record.base}; "
            f"{record.num_train_steps:,} training steps since conversion"
        )
    for transformer in model.transformers:
        lines += _transformer_lines(transformer, bool(model.is_joint))
    lines += ["memory of training" + (" one transformer" if len(model.transformers) > 1 else "")]
    columns = ("weights", "gradients", "adam", "ema", "bf16_copies", "total")
    unit, size = ("GiB", GIB) if inspection.memory[0].total >= GIB else ("MiB", GIB // 1024)
    lines.append("  " + f"{'in ' + unit:<14}" + "".join(f"{name.replace('_', ' '):>12}" for name in columns))
    for memory in inspection.memory:
        values = "".join(f"{getattr(memory, name) / size:>12.2f}" for name in columns)
        lines.append(f"  {memory.method:<14}{values}   ({memory.num_trained:,} trained)")
    if inspection.start is not None:
        lines.append(f"  Before the first step, with the encoders: {inspection.start / size:.2f} {unit}.")
    return [*lines, f"  {inspection.activations}"]


def _transformer_lines(transformer: TransformerFacts, is_joint: bool) -> list[str]:
    dtypes = ", ".join(transformer.dtypes) or "type not stated by the config"
    share = transformer.num_added / (transformer.num_joint_parameters - transformer.num_added)
    lines = [
        f"{transformer.component or 'transformer'}: {transformer.transformer_class} ({transformer.checkpoints})",
        f"  {transformer.num_channels} latent channels, predicts {transformer.prediction}; {transformer.supported}",
        f"  {transformer.num_parameters:,} parameters, {dtypes}",
        f"  converting {'added' if is_joint else 'adds'} {transformer.num_added:,} parameters ({share:.3%}):",
    ]
    return lines + [
        f"    {change.name}  {'×'.join(map(str, change.before))} → {'×'.join(map(str, change.after))}"
        for change in transformer.changes
    ]
