"""What memory training takes, counted from a model's facts: arithmetic, of which the trainer decides the terms."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, computed_field

from videojam.models.describe import ModelFacts, TransformerFacts


@runtime_checkable
class Adapters(Protocol):
    """What decides the size of low-rank adapters; the `lora` of a recipe has it."""

    @property
    def rank(self) -> int:
        """Rank."""

    @property
    def target_modules(self) -> tuple[str, ...]:
        """Ends of the names of the layers that get an adapter."""


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


def training_memory(
    transformer: TransformerFacts, lora: Adapters | None = None, *, ema: bool = True, bf16: bool = True
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


def num_lora_parameters(transformer: TransformerFacts, lora: Adapters) -> int:
    """Count the adapters' parameters: rank · (in + out) for every linear layer whose name ends as asked."""
    return sum(
        lora.rank * sum(shape)
        for name, shape in transformer.joint_shapes.items()
        if len(shape) == 2 and any(f".{name}".endswith(f".{target}.weight") for target in lora.target_modules)
    )


def memory_at_start(model: ModelFacts) -> int | None:
    """Count the bytes that training holds at its fullest before the first step: all components, and the joint copy.

    Args:
        model: Its facts; None is returned where they count no encoders.
    """
    if model.num_other_parameters is None:
        return None
    num_all = sum(model.num_other_parameters.values())
    num_all += sum(transformer.num_parameters for transformer in model.transformers)
    return 4 * (num_all if model.is_joint else num_all + model.transformers[0].num_joint_parameters)
