"""What memory training takes, counted from a model's facts: arithmetic, of which the trainer decides the terms."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, computed_field

from videojam.families import FAMILIES
from videojam.models.describe import ModelFacts, TransformerFacts
from videojam.models.folder import PIXEL_PARTS, TEXT_PARTS


@runtime_checkable
class Adapters(Protocol):
    """What decides the size of low-rank adapters; the `lora` of a recipe has it."""

    @property
    def rank(self) -> int:
        """Rank."""

    @property
    def target_modules(self) -> tuple[str, ...]:
        """Ends of the names of the layers that get an adapter."""


class SmallWeights(NamedTuple):
    """Parameters that are held in a smaller type than float32.

    Attributes:
        num: How many.
        num_bytes: Of each, scales included.
        num_trained: How many of them a full fine-tune trains; None: all.
    """

    num: int
    num_bytes: float
    num_trained: int | None = None


class TrainingMemory(BaseModel):
    """Bytes that training one transformer holds, as the trainer allocates them; activations are not counted.

    Master weights, gradients and averages are fp32 (4 bytes a parameter), Adam has two fp32 moments (8), unless the
    recipe says otherwise. Under `precision: bf16` the layers compute on bf16 copies of their fp32 weights, which live
    until the backward pass.
    """

    model_config = ConfigDict(frozen=True)

    method: str = Field(description="full, or lora with its rank.")
    num_trained: int = Field(description="Parameters that are trained.")
    weights: int = Field(
        description="4 bytes a parameter, trained or not; fewer of those held in a smaller type."
    )
    gradients: int = Field(description="4 bytes a trained parameter; 2 of those held in bf16.")
    adam: int = Field(description="Moments: 8 bytes a trained parameter, about 2 in 8 bits.")
    ema: int = Field(description="4 bytes a trained parameter; 0 with ema_decay: 0.")
    bf16_copies: int = Field(description="2 bytes a parameter while a step runs; 0 with precision: fp32.")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> int:
        """Sum of all."""
        return self.weights + self.gradients + self.adam + self.ema + self.bf16_copies


def training_memory(
    transformer: TransformerFacts,
    lora: Adapters | None = None,
    *,
    ema: bool = True,
    bf16: bool = True,
    small: SmallWeights | None = None,
    moment_bytes: float = 8.0,
) -> TrainingMemory:
    """Count the bytes of training the joint model of a transformer.

    Args:
        transformer: Its facts.
        lora: Adapters instead of a full fine-tune.
        ema: Whether averages are kept.
        bf16: Whether the layers compute in bf16.
        small: Parameters that are held in a smaller type than float32.
        moment_bytes: Of the optimizer, for each trained parameter.
    """
    num_all = transformer.num_joint_parameters
    num_trained = num_all - num_frozen_parameters(transformer)
    if lora is not None:
        adapters = num_lora_parameters(transformer, lora)
        num_all += adapters
        num_trained = adapters + transformer.num_projection_parameters
    small = small or SmallWeights(0, 4.0)
    saved = 4 - small.num_bytes
    num_small = small.num if small.num_trained is None else small.num_trained
    return TrainingMemory(
        method=f"lora, rank {lora.rank}" if lora else "full",
        num_trained=num_trained,
        weights=round(4 * num_all - saved * small.num),
        gradients=round(4 * num_trained - (0 if lora else saved * num_small)),
        adam=round(moment_bytes * num_trained),
        ema=4 * num_trained if ema else 0,
        bf16_copies=2 * (num_all - small.num) if bf16 else 0,
    )


def num_frozen_parameters(transformer: TransformerFacts) -> int:
    """Count the parameters that a full fine-tune leaves as they are."""
    family = FAMILIES[transformer.transformer_class]
    shapes = transformer.joint_shapes.items()
    return sum(math.prod(shape) for name, shape in shapes if family.is_frozen(name))


def num_lora_parameters(transformer: TransformerFacts, lora: Adapters) -> int:
    """Count the adapters' parameters: rank · (in + out) for every linear layer whose name ends as asked."""
    family = FAMILIES[transformer.transformer_class]
    return sum(
        lora.rank * sum(shape)
        for name, shape in transformer.joint_shapes.items()
        if len(shape) == 2
        and not family.is_frozen(name)
        and any(f".{name}".endswith(f".{target}.weight") for target in lora.target_modules)
    )


def memory_at_start(model: ModelFacts) -> int | None:
    """Count the weights of the larger stage before the first step: all text encoders, or all that encode pixels.

    They are loaded one stage after the other and freed before the transformer is loaded.

    Args:
        model: Its facts; None is returned where they count no encoders.
    """
    if model.encoder_bytes is None:
        return None
    sizes = model.encoder_bytes.items()
    return max(
        sum(size for name, size in sizes if name.startswith(parts)) for parts in (TEXT_PARTS, PIXEL_PARTS)
    )
