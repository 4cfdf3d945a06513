"""The recipe of a training run: strict, complete, one description a field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from videojam.data.config import DataConfig
from videojam.errors import VideoJamError
from videojam.motion.code import MotionCode
from videojam.objective.config import ObjectiveConfig


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OptimizerConfig(_Strict):
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


class LoraConfig(_Strict):
    """Low-rank adapters on attention; the two projections are trained in full beside them."""

    rank: int = Field(16, description="Rank.", ge=1)
    alpha: int | None = Field(None, description="Scale; the rank if none.", ge=1)
    target_modules: tuple[str, ...] = Field(
        ("to_q", "to_k", "to_v", "to_out.0"), description="Layers that get an adapter.", min_length=1
    )


class TrainConfig(_Strict):
    """A training run. Every field with its meaning: `videojam train --fields`."""

    base: str = Field(description="Base pipeline: folder, hub id or shipped name; or a joint one, to go on.")
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
    motion: MotionCode = Field(MotionCode(), description="How flow is measured and drawn.")
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
    batch_size: int = Field(1, description="Clips a step, over all processes.", ge=1)
    accumulation: int = Field(1, description="Parts that each process splits its batch into.", ge=1)
    precision: Literal["bf16", "fp32"] = Field("bf16", description="Compute; master weights are fp32 always.")
    save_dtype: Literal["bf16", "fp32"] = Field("bf16", description="Type of the weights in out/model.")
    ema_decay: float = Field(
        0.999, description="Decay of the averaged weights that are saved; 0: none.", ge=0, lt=1
    )
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, more time.")
    compile: Literal["none", "blocks", "whole"] = Field(
        "none",
        description="torch.compile each transformer block (quick to compile), or the whole transformer "
        "(faster where it is small).",
    )
    seed: int = Field(0, description="Seed of data order, times, noise and dropout.", ge=0)
    log_every: int = Field(10, description="Steps between log lines.", ge=1)
    checkpoint_every: int = Field(500, description="Steps between checkpoints.", ge=1)
    keep_checkpoints: int = Field(2, description="Checkpoints kept.", ge=1)
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
        if any(not 0 < t < 1 for t in self.validate_t):
            raise ValueError("validate_t: every time lies between 0 and 1")
        return self


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a recipe and apply `key=value` overrides (dotted keys, YAML values).

    Raises:
        VideoJamError: the file or a value is not as expected; names the key and suggests a near one.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise VideoJamError(
            expected="a recipe", found="no such file", where=str(path), fix="See recipes/ for examples."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise VideoJamError(
            expected="a YAML recipe",
            found=" ".join(str(error).split()),
            where=str(path),
            fix="Mend the file.",
        ) from None
    if not isinstance(content, dict):
        raise VideoJamError(
            expected="keys and values", found=type(content).__name__, where=str(path), fix="See recipes/."
        )
    for override in overrides or []:
        _override(content, override)
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        raise _explain(error, str(path)) from None


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise VideoJamError(
            expected="key=value",
            found=override,
            where="--set",
            fix="For example --set optimizer.learning_rate=1e-5",
        )
    *parents, last = key.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise VideoJamError(
                expected=f"{parent} to hold keys",
                found="a value",
                where=f"--set {key}",
                fix="Check the dotted key.",
            )
    content[last] = _number(yaml.safe_load(value))


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-5 as text; a recipe's reader means a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explain(error: ValidationError, where: str) -> VideoJamError:
    from difflib import get_close_matches

    first = error.errors()[0]
    key = ".".join(
        str(part) for part in first["loc"] if part not in ("folder", "world") or part == first["loc"][-1]
    )
    fix = "Run `videojam train --fields` for every key and its meaning."
    found = first["msg"] if first["type"] == "missing" else f"{first.get('input')!r}"
    expected = first["msg"]
    if first["type"] == "extra_forbidden":
        near = get_close_matches(str(first["loc"][-1]), field_names(TrainConfig), n=1)
        expected = "a key of a recipe"
        found = f"the unknown key {key!r}"
        fix = (f"Did you mean {near[0]!r}? " if near else "") + fix
    elif first["type"] == "missing":
        expected, found = f"the key {key!r}", "none"
    more = len(error.errors()) - 1
    return VideoJamError(
        expected=expected,
        found=found,
        where=f"{where}: {key}",
        fix=fix + (f" ({more} more errors follow.)" if more else ""),
    )


def field_names(model: type[BaseModel]) -> list[str]:
    """Names of all fields of a config, nested ones included."""
    return [line.split(":")[0].strip() for line in describe_fields(model)]


def describe_fields(model: type[BaseModel] = TrainConfig, indent: int = 0) -> list[str]:
    """Describe every key as a commented YAML line: `key: default  # meaning`."""
    lines: list[str] = []
    for name, field in model.model_fields.items():
        nested = [m for m in _models_in(field.annotation)]
        default = (
            "" if field.is_required() or nested else f" {_yaml(field.get_default(call_default_factory=True))}"
        )
        required = " (required)" if field.is_required() else ""
        lines.append(f"{'  ' * indent}{name}:{default}  # {field.description}{required}")
        for inner in nested:
            lines += describe_fields(inner, indent + 1)
    return lines


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    from typing import get_args

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _yaml(value: Any) -> str:
    value = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    return yaml.safe_dump(value, default_flow_style=True).strip().removesuffix("...").strip()
