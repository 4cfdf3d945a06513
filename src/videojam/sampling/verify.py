"""Is a saved model the model that was trained: loaded through the public path, same seed, same latents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.files import write_tensors
from videojam.guidance.config import Guidance
from videojam.guidance.rules import BASE_DEFAULT, JOINT_DEFAULT
from videojam.guidance.window import Window
from videojam.models.folder import open_folder
from videojam.models.load import LoadedModel, load_without_texts
from videojam.models.record import FINGERPRINT_NAME
from videojam.models.resolve import resolve
from videojam.models.texts_apart import TextsApart
from videojam.sampling.sample import sample
from videojam.sampling.settings import resolve as resolve_settings

PROMPT = "a red ball moves to the right"
SEED = 1234
NUM_STEPS = 2
TOLERANCE = 1e-3
"""Largest difference, in units of the latents' deviation, that other hardware or versions may make."""


class VerifyReport(BaseModel):
    """What `verify` found."""

    model_config = ConfigDict(frozen=True)

    model: str = Field(description="Folder or hub id.")
    is_joint: bool = Field(description="Whether it is a joint model.")
    repeats: bool = Field(description="Whether the same seed gave the same latents twice, bit for bit.")
    stored: Literal["equal", "close", "differs", "absent"] = Field(
        description="The latents beside those stored when the model was saved; absent: none were stored."
    )
    max_difference: float | None = Field(
        description="Largest difference from the stored latents, in units of their deviation."
    )

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the model; with `stored` absent there was nothing to compare with."""
        return self.repeats and self.stored != "differs"


def fingerprint(model: LoadedModel, image: Any = None) -> Tensor:
    """Sample latents of a fixed prompt and seed at a tiny size, with every branch of guidance at work.

    Args:
        model: Base or joint model, in memory or loaded.
        image: First frame for an image-to-video base; a fixed gradient if not given.

    Returns:
        float32 `[1, C or 2C, F, H, W]` on the CPU.
    """
    num_frames, height, width = model.family.smallest_clip(model.pipeline)
    height, width = 2 * height, 2 * width
    mode = JOINT_DEFAULT if model.is_joint else BASE_DEFAULT
    guidance = Guidance(mode=mode, window=Window(end=1.0))
    output = sample(
        model,
        [PROMPT],
        seeds=SEED,
        num_frames=num_frames,
        height=height,
        width=width,
        num_steps=NUM_STEPS,
        guidance=guidance,
        image=_gradient(height, width)
        if image is None and model.family.takes_image(model.pipeline)
        else image,
        decode=False,
    )
    return output.latents.cpu()


def fingerprint_texts(source: str | Path, device: str | torch.device = "cpu") -> TextsApart:
    """Encode the texts of a fingerprint in float32 by a folder's text encoders, which are freed before it is sampled.

    Args:
        source: Pipeline folder or hub id.
        device: Where to encode.
    """
    texts = TextsApart(source, device, exact=True)
    texts.encode_asked(_texts)
    return texts


def _texts(model: LoadedModel) -> tuple[list[str], int | None]:
    """Return the texts of a fingerprint and their length, as the pipeline's settings have them."""
    settings = resolve_settings(model)
    return [PROMPT, settings.negative_prompt or ""], settings.max_sequence_length


def load_for_fingerprint(
    source: str | Path, given: dict[str, Any] | None = None, device: str | torch.device = "cpu"
) -> LoadedModel:
    """Load a model in float32 with a fingerprint's texts encoded before, so that memory never holds both.

    Args:
        source: Pipeline folder or hub id.
        given: Components that are taken as they are and not loaded, by name.
        device: Where to put what is loaded, and to encode.

    Raises:
        VideoJamError: the model can't be loaded.
    """
    open_folder(resolve(source))  # all that its headers show, before text encoders are loaded
    texts = fingerprint_texts(source, device)
    model = load_without_texts(source, given, device=device)
    texts.stand_in(model.pipeline)
    return model


def save_fingerprint(model: LoadedModel, folder: str | Path) -> Path:
    """Store the fingerprint of a model in memory beside its saved files, for `verify` to compare with."""
    path = Path(folder) / FINGERPRINT_NAME
    latents = {"latents": fingerprint(model).contiguous()}
    return write_tensors(path, latents, {"torch": torch.__version__})


def verify(
    source: str | Path, device: str | torch.device = "cpu", *, say: Callable[[str], None] | None = None
) -> VerifyReport:
    """Load a model through the public path, sample it twice, and compare with what was stored at its saving.

    The text encoders are loaded first, in the type of their files, and freed: memory never holds them beside the
    transformer. They compute in float32, one block at a time, so the latents are those of `load_model` in float32.

    Args:
        source: Pipeline folder or hub id.
        device: Where to run; in float32.
        say: Called with a line before each stage.

    Raises:
        VideoJamError: the model can't be loaded.
    """
    say = say or (lambda line: None)
    say("encoding the prompt, then loading the transformer and the autoencoder")
    model = load_for_fingerprint(source, device=device)
    say("sampling it: 1 of 2")
    first = fingerprint(model)
    say("sampling it: 2 of 2")
    second = fingerprint(model)
    stored, difference = _compare(first, resolve(source) / FINGERPRINT_NAME)
    return VerifyReport(
        model=str(source),
        is_joint=model.is_joint,
        repeats=torch.equal(first, second),
        stored=stored,
        max_difference=difference,
    )


def _compare(
    latents: Tensor, path: Path
) -> tuple[Literal["equal", "close", "differs", "absent"], float | None]:
    if not path.is_file():
        return "absent", None
    try:
        with safe_open(path, framework="pt") as file:
            stored = file.get_tensor("latents")
    except (SafetensorError, OSError) as error:
        raise VideoJamError(
            expected="the fingerprint that was stored with the model, a tensor called latents",
            found=str(error),
            where=str(path),
            fix="Take the file from an intact copy of the model; without it, the model can't be verified.",
        ) from None
    if stored.shape != latents.shape:
        return "differs", None
    difference = ((latents - stored).abs().max() / stored.std()).item()
    if difference == 0:
        return "equal", 0.0
    return ("close" if difference <= TOLERANCE else "differs"), difference


def _gradient(height: int, width: int) -> Any:
    """Return a PIL image, grey from left to right."""
    from PIL import Image

    return Image.linear_gradient("L").rotate(90).resize((width, height)).convert("RGB")
