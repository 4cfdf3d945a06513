"""What a recipe trains, and the memory and time that it needs, from config files and headers; no weight is loaded."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from videojam.models.describe import ModelFacts, TransformerFacts, describe_model
from videojam.models.folder import TEXT_PARTS
from videojam.models.memory import TrainingMemory
from videojam.models.outline import outline
from videojam.models.published import published_configs
from videojam.models.resolve import is_hub_id, resolve
from videojam.models.text_size import text_encoder_bytes
from videojam.training.config import TrainConfig
from videojam.training.estimate import Estimate, estimate
from videojam.training.speed import matrix_rate
from videojam.training.trainable import chosen_expert

MIB = 2**20
CARDS_GB = (24, 48, 80)
"""Memory of the cards that are named for FSDP2."""


@dataclass(frozen=True)
class DryRun:
    """What a recipe will do.

    Attributes:
        facts: Of the transformer that is trained.
        estimate: Bytes and operations.
        rate: Operations a second of the device.
        is_measured: Whether the rate is that of a matrix product here.
    """

    facts: TransformerFacts
    estimate: Estimate
    rate: float
    is_measured: bool

    @property
    def memory(self) -> TrainingMemory:
        """Of the transformer, activations not counted."""
        return self.estimate.memory

    @property
    def step_s(self) -> float:
        """Seconds of an optimizer step at the whole rate, which no step reaches."""
        return self.estimate.flops / self.rate

    def total_s(self, config: TrainConfig) -> float:
        """Return the seconds of all steps and validation clips at the whole rate."""
        return (config.num_steps * self.estimate.flops + self.estimate.samples_flops) / self.rate


def dry_run(config: TrainConfig, tflops: float | None = None) -> DryRun:
    """Estimate what training by a recipe holds and how long it takes.

    Args:
        config: The recipe.
        tflops: Rate of the device in TFLOP/s; that of a matrix product, measured here, by default.

    Raises:
        VideoJamError: the base is no model of a known class, or has no such expert.
    """
    with published_configs(config.base) as known:
        source = known or config.base
        configs_only = known is not None or is_hub_id(source)
        model = describe_model(source, configs_only=configs_only)
        facts = _trained(config, model)
        if model.encoder_bytes is None:
            text = text_encoder_bytes(resolve(source, configs_only=configs_only))
        else:
            text = sum(size for name, size in model.encoder_bytes.items() if name.startswith(TEXT_PARTS))
        base = outline(source, configs_only=configs_only)
        gamma = config.objective.min_snr_gamma
        if gamma is not None:
            base.family.min_snr_weight(torch.ones(1), gamma)  # refuses a flow model
        found = estimate(config, base, facts, text)
    rate = _measured_rate(config.precision) if tflops is None else tflops * 1e12
    return DryRun(facts, found, rate, tflops is None)


def _measured_rate(precision: str) -> float:
    """Measure the operations a second of a matrix product on this machine's GPU, or on its CPU where there is none."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return matrix_rate(device, torch.bfloat16 if precision == "bf16" else torch.float32)


def _trained(config: TrainConfig, model: ModelFacts) -> TransformerFacts:
    """Return the transformer that is trained; of a control, with the shapes of the base."""
    transformers = {transformer.component: transformer for transformer in model.transformers}
    facts = transformers[chosen_expert(transformers, config.expert, config.base)]
    if config.method != "plain" or model.is_joint:
        return facts
    shapes = {**facts.joint_shapes, **{change.name: tuple(change.before) for change in facts.changes}}
    projections = facts.num_projection_parameters - facts.num_added
    return facts.model_copy(update={"joint_shapes": shapes, "num_projection_parameters": projections})


def dry_run_lines(config: TrainConfig, run: DryRun) -> list[str]:
    """Write a dry run as lines for people.

    Args:
        config: The recipe.
        run: What came of it.
    """
    facts, found, source = run.facts, run.estimate, config.data.source
    memory = found.memory
    lines = [
        f"{config.base}: {config.method}, {memory.method}, of {facts.component} ({facts.transformer_class})",
        f"  {facts.num_joint_parameters:,} parameters without adapters, {memory.num_trained:,} trained",
        f"  {config.num_steps:,} steps of {config.batch_size} clips: {source.num_frames} frames of "
        f"{source.height}×{source.width} px",
        "memory in MiB, of one process that holds the whole model",
    ]
    rows = {
        "weights": memory.weights - found.offloaded,
        "moments": memory.adam,
        "average": memory.ema,
        "a step's activations and gradients": found.step,
        **({"autoencoder and clips, beside": found.beside} if found.beside else {}),
        "training": found.training,
        **({} if found.sampling is None else {"validation clips": found.sampling}),
        **({"of blocks, in the host's memory": found.offloaded} if found.offloaded else {}),
        "text encoders, before": found.text_stage,
        "autoencoder and clips, before": found.pixel_stage,
        "largest": found.peak,
    }
    for name, size in rows.items():
        lines.append(
            f"  {name:<36}" + ("not known from configs" if size is None else f"{size / MIB:>12,.1f}")
        )
    if config.parallel.kind == "fsdp":
        lines.append(f"  {'cards of FSDP2 that hold it':<36}{_cards(found, config)}")
    if config.optimizer.name == "muon":
        lines.append("  Moments are counted as AdamW's; Muon holds one of the blocks' matrices, not two.")
    origin = "a matrix product's here" if run.is_measured else "as given"
    fastest, usual = (duration(run.total_s(config) * factor) for factor in (1, 2.5))
    clips = f", {found.samples_flops / 1e12:,.2f} for all validation clips" if found.samples else ""
    return [
        *lines,
        f"time: {found.flops / 1e12:,.2f} TFLOP a step{clips}; at {run.rate / 1e12:.3g} TFLOP/s ({origin}) "
        f"{fastest} at the least, {usual} at 40 % of that rate; encoding the clips comes on top",
    ]


def duration(seconds: float) -> str:
    """Write how long a run takes: in hours up to two days, in days up to ten years."""
    hours = seconds / 3600
    if hours < 0.05:
        return "under 0.1 hours"
    if hours <= 48:
        return f"{hours:.1f} hours"
    return f"{hours / 24:,.0f} days" if hours < 3650 * 24 else "over ten years"


def _cards(found: Estimate, config: TrainConfig) -> str:
    numbers = {size: found.cards(float(size * 2**30), config) for size in CARDS_GB}
    parts = [f"{number or 'none'} of {size} GB" for size, number in numbers.items()]
    return f"{', '.join(parts)}, at most {config.batch_size:,} (a clip each)"
