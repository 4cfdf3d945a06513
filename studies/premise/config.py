"""One object that says all of a run: world, model, training."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from videojam.files import write_text
from videojam.motion.code import MotionCode
from videojam.strict import Strict
from videojam.world import WorldConfig

ARM_KEY = "arm"
"""Key of an arm's config in the metadata of its weights."""


class ModelConfig(Strict):
    """The stock Wan transformer at a tiny size."""

    num_heads: int = Field(4, ge=1, description="Attention heads.")
    head_dim: int = Field(32, ge=6, description="Width of a head; the model's width is heads times this.")
    num_layers: int = Field(4, ge=1, description="Blocks.")
    patch_px: int = Field(2, ge=1, description="Height and width of a token, in pixels.")
    text_dim: int = Field(16, ge=4, description="Width of the captions' word vectors.")


class TrainConfig(Strict):
    """Training of a base or of an arm."""

    batch_size: int = Field(256, ge=1, description="Clips a step.")
    rate: float = Field(2e-3, gt=0, description="Peak rate of Muon (matched to AdamW's rms) and of AdamW.")
    warmup_steps: int = Field(100, ge=1, description="Steps in which the rate rises.")
    decay_share: float = Field(0.4, gt=0, le=1, description="Last share of the steps, where it falls to 0.")
    ema: float = Field(0.998, ge=0, lt=1, description="Decay of the averaged weights.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    text_dropout: float = Field(0.2, ge=0, le=1, description="Share of clips with the null text.")
    motion_dropout: float = Field(0.2, ge=0, le=1, description="Share of clips whose motion input is null.")
    motion_weight: float = Field(1.0, ge=0, description="λ, weight of the motion loss.")


class StudyConfig(Strict):
    """A study's world, latents, model and training."""

    world: WorldConfig = WorldConfig()
    code: MotionCode = MotionCode(estimator="exact", curve="sqrt")
    gain: float = Field(0.4, gt=0, description="Factor on d's latents.")
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    seed: int = Field(0, ge=0, description="Seed of weights, clips, noise and dropouts.")

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_text(path, self.model_dump_json(indent=2) + "\n")


class ArmConfig(Strict):
    """What a fine-tune does differently."""

    name: str
    kind: Literal["plain", "joint"] = "plain"
    seed: int = Field(1, ge=0, description="Seed of its clips and noise; arms of one seed see the same.")
    moving_weight: float = Field(1.0, gt=0, description="Weight of appearance errors where the mover is.")
    noise: Literal["same", "own"] = Field(
        "same",
        description="Noise level of d: that of x, or one drawn on its own, which the model gets as input.",
    )
    gain: float | None = Field(None, gt=0, description="Factor on d's latents; None is the study's.")


def load_config(path: Path) -> StudyConfig:
    """Read what `StudyConfig.save` wrote."""
    return StudyConfig.model_validate_json(path.read_text(encoding="utf-8"))
