"""Captions and the null text, encoded before any pixel is: kept beside the cache until the clip's file has them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from videojam.data.cache import write_encoded
from videojam.data.clips import ClipEntry
from videojam.data.latents import NULL_PROMPT
from videojam.models.encoders import Encoders

WAITING = "texts"
KEPT = "kept_texts"
"""Captions of clips that are encoded in the steps."""
NULL_NAME = "null_text.safetensors"
BATCH_TEXTS = 4


@dataclass(frozen=True)
class Texts:
    """Encoded captions of clips whose pixels are not encoded yet.

    Attributes:
        folder: Where they wait.
    """

    folder: Path

    def path(self, entry: ClipEntry) -> Path:
        """Return a clip's file."""
        return self.folder / f"{entry.key}.safetensors"

    def holds(self, entry: ClipEntry) -> bool:
        """Whether a clip's caption is encoded."""
        try:
            with safe_open(self.path(entry), framework="pt") as file:
                return bool(file.keys())
        except (OSError, SafetensorError):
            return False

    def of(self, entry: ClipEntry) -> dict[str, Tensor]:
        """Read a clip's `text.*` tensors into memory, so that its file can go."""
        return {name: tensor.clone() for name, tensor in load_file(self.path(entry)).items()}

    def done(self, entry: ClipEntry) -> None:
        """Remove what now stands in the clip's own file."""
        self.path(entry).unlink(missing_ok=True)

    def remove(self, entries: list[ClipEntry]) -> None:
        """Remove what is left of these clips when all are encoded; another run's texts may wait beside them."""
        for entry in entries:
            self.done(entry)
        with suppress(OSError):
            self.folder.rmdir()


@torch.no_grad()
def encode_texts(
    encoders: Encoders, entries: list[ClipEntry], texts: Texts, length: int | None
) -> dict[str, Tensor]:
    """Encode the captions of clips that wait for none yet, and the null text; load no encoder where all are there.

    Args:
        encoders: Of the base.
        entries: Clips that the cache lacks.
        texts: Where they are kept, in the folder of the cache.
        length: Text tokens, padding included; the base's default if None.

    Returns:
        Denoiser keywords of the null text, `[1, L, D]` each.
    """
    null = texts.folder.parent / NULL_NAME
    missing = [entry for entry in entries if not texts.holds(entry)]
    if missing or not _is_whole(null):
        with encoders.text() as model:
            family, pipe = model.family, model.pipeline
            _write(null, family.encode_prompts(pipe, [NULL_PROMPT], length))
            for start in range(0, len(missing), BATCH_TEXTS):
                batch = missing[start : start + BATCH_TEXTS]
                made = family.encode_prompts(pipe, [entry.caption for entry in batch], length)
                for row, entry in enumerate(batch):
                    _write(texts.path(entry), {f"text.{name}": tensor[row] for name, tensor in made.items()})
    return {name: tensor.clone() for name, tensor in load_file(null).items()}  # not the file, mapped


def _is_whole(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    write_encoded(path, {name: tensor.cpu() for name, tensor in tensors.items()}, {})
