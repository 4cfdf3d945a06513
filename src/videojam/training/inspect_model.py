"""`videojam inspect`: what a model is, what converting changes, and what memory training it will take."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from videojam.models.describe import ModelFacts, TransformerFacts, describe_model
from videojam.models.memory import TrainingMemory, memory_at_start, training_memory
from videojam.training.config import LoraConfig

GIB = 2**30
ACTIVATIONS = (
    "Activations are not counted: they depend on the clips' size and the batch. "
    "gradient_checkpointing keeps one block's at a time."
)


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
    return Inspection(model=model, memory=memory, start=memory_at_start(model))


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
