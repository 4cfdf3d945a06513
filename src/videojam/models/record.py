"""What a joint model remembers of its training, and what any model folder says of its sampling defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field

from videojam import __version__
from videojam.errors import VideoJamError
from videojam.files import renamed
from videojam.misfits import reason
from videojam.motion.code import MotionCode
from videojam.strict import FrameRate, Strict

RECORD_NAME = "videojam.json"
DEFAULTS_NAME = "videojam_sampling.json"
FINGERPRINT_NAME = "videojam_verify.safetensors"


class MotionRecord(Strict):
    """What sampling must know of a joint model's motion half; a file beside `model_index.json`."""

    motion: MotionCode = Field(description="How flow was drawn as RGB; sampling decodes with the same code.")
    null: Literal["zeros"] = Field("zeros", description="The null motion: zeros in the motion input.")
    text_dropout: float | None = Field(
        None, ge=0, le=1, description="Share of training steps with null text; None before training."
    )
    motion_dropout: float | None = Field(
        None, ge=0, le=1, description="Share of training steps with null motion; None before training."
    )
    motion_std: float | None = Field(
        None, gt=0, description="Standard deviation of the clean motion latents seen in training."
    )
    num_train_steps: int = Field(0, ge=0, description="Training steps since conversion.")
    base: str = Field(description="Folder or hub id of the base model.")
    revision: str | None = Field(None, description="Hub revision of the base model.")
    output_init: Literal["zero", "copy"] = Field("zero", description="How the new output rows started.")
    videojam_version: str = Field(__version__, description="Version of the package that wrote this file.")


class SamplingDefaults(Strict):
    """Defaults of one model folder where they differ from those of its stock pipeline (base or joint)."""

    fps: FrameRate | None = Field(None, description="Frame rate of the training clips.")
    num_frames: int | None = Field(None, ge=1, description="Frames of a clip.")
    height: int | None = Field(None, ge=1, description="Frame height in px.")
    width: int | None = Field(None, ge=1, description="Frame width in px.")
    num_steps: int | None = Field(None, ge=1, description="Sampling steps.")
    max_sequence_length: int | None = Field(
        None, ge=1, description="Text tokens, padding included; must equal that of training."
    )
    negative_prompt: str | None = Field(None, description="Null text of guidance.")
    w_text: float | None = Field(None, ge=0, description="Text guidance w1.")
    w_motion: float | None = Field(None, ge=0, description="Motion guidance w2.")
    window: str | None = Field(
        None, description="When motion guides: all, half, steps:0-50, t:0-0.4 or share:0-0.5."
    )
    guidance_from: str | None = Field(None, description="What w1, w2 and the window were chosen by.")


_Model = TypeVar("_Model", bound=BaseModel)


def load_record(folder: str | Path) -> MotionRecord | None:
    """Read the motion record of a model folder; None if the folder has no such file.

    Raises:
        VideoJamError: the file can't be read as a record; names the field.
    """
    return _load(Path(folder) / RECORD_NAME, MotionRecord)


def save_record(record: MotionRecord, folder: str | Path) -> Path:
    """Write the motion record into a model folder."""
    return _save(record, Path(folder) / RECORD_NAME)


def load_defaults(folder: str | Path) -> SamplingDefaults:
    """Read the sampling defaults of a model folder; empty if the folder has no such file."""
    return _load(Path(folder) / DEFAULTS_NAME, SamplingDefaults) or SamplingDefaults()


def save_defaults(defaults: SamplingDefaults, folder: str | Path) -> Path:
    """Write the sampling defaults into a model folder."""
    return _save(defaults, Path(folder) / DEFAULTS_NAME)


def check_motion_code(record: MotionRecord, **asked: Any) -> None:
    """Refuse a request for another motion code than the model was trained with.

    Args:
        record: The model's record.
        asked: Fields of MotionCode as the user asked for them; None means not asked.

    Raises:
        VideoJamError: names the first field that differs.
    """
    for name, value in asked.items():
        trained = getattr(record.motion, name)
        if value is not None and value != trained:
            raise VideoJamError(
                expected=f"{name} = {trained!r}, which the model was trained with",
                found=f"{name} = {value!r}",
                where=RECORD_NAME,
                fix=f"Leave {name} out, or convert and train a model with it.",
            )


def _load(path: Path, kind: type[_Model]) -> _Model | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return kind.model_validate(content)
        found = f"a {type(content).__name__}"
    except (OSError, ValueError) as error:
        found = reason(error)
    raise VideoJamError(
        expected=f"{path.name} as a JSON object that videojam wrote",
        found=found,
        where=str(path),
        fix="Take the file from an intact copy of the model, or convert the base again.",
    )


def _save(model: BaseModel, path: Path) -> Path:
    with renamed(path) as unfinished:
        unfinished.write_text(json.dumps(model.model_dump(mode="json"), indent=2) + "\n")
    return path
