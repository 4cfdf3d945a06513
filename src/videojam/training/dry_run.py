"""What a recipe will train and the memory of its weights, from only config files and headers; nothing is loaded."""

from __future__ import annotations

from videojam.errors import VideoJamError
from videojam.models.describe import ModelFacts, TransformerFacts, describe_model
from videojam.models.memory import TrainingMemory, memory_at_start, training_memory
from videojam.training.config import TrainConfig

MIB = 2**20
PARTS = ("weights", "gradients", "adam", "ema", "bf16_copies", "total")


def dry_run(config: TrainConfig) -> tuple[TransformerFacts, TrainingMemory, int | None]:
    """Count what training by a recipe holds, activations not counted.

    Returns:
        Facts of the transformer that is trained, the bytes of its training by part, and the bytes of all components
        before the first step (None where their files are not there to be counted).

    Raises:
        VideoJamError: the base is no model of a known class, or has no such expert.
    """
    model = describe_model(config.base)
    facts = _trained(config, model)
    memory = training_memory(facts, config.lora, ema=config.ema_decay > 0, bf16=config.precision == "bf16")
    return facts, memory, memory_at_start(model)


def _trained(config: TrainConfig, model: ModelFacts) -> TransformerFacts:
    """Return the transformer that is trained; of a control, with the shapes of the base."""
    names = [transformer.component for transformer in model.transformers]
    if (config.expert is None and len(names) > 1) or config.expert not in (None, *names):
        raise VideoJamError(
            expected=f"one of the transformers {', '.join(names)}",
            found=f"expert {config.expert}",
            where="expert",
            fix=f"Write for instance expert: {names[0]}." if len(names) > 1 else "Leave expert out.",
        )
    facts = model.transformers[0 if config.expert is None else names.index(config.expert)]
    if config.method != "plain" or model.is_joint:
        return facts
    shapes = {**facts.joint_shapes, **{change.name: tuple(change.before) for change in facts.changes}}
    projections = facts.num_projection_parameters - facts.num_added
    return facts.model_copy(update={"joint_shapes": shapes, "num_projection_parameters": projections})


def dry_run_lines(config: TrainConfig) -> list[str]:
    """Write a dry run as lines for people.

    Raises:
        VideoJamError: as `dry_run`.
    """
    facts, memory, start = dry_run(config)
    source = config.data.source
    lines = [
        f"{config.base}: {config.method}, {memory.method}, of {facts.component} ({facts.transformer_class})",
        f"  {facts.num_joint_parameters:,} parameters without adapters, {memory.num_trained:,} trained",
        f"  {config.num_steps:,} steps of {config.batch_size} clips: {source.num_frames} frames of "
        f"{source.height}×{source.width} px",
        "memory in MiB",
    ]
    lines += [f"  {part.replace('_', ' '):<12}{getattr(memory, part) / MIB:>12,.1f}" for part in PARTS]
    if start is not None:
        lines.append(f"  Before the first step, with the encoders: {start / MIB:,.1f} MiB.")
    if config.optimizer.name == "muon":
        lines.append("  Counted as for AdamW; Muon holds one moment of the blocks' matrices, not two.")
    return [*lines, "  Activations and time are not counted: they depend on the device."]
