"""The captions of a shard, encoded into a file beside it before its clips are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from videojam.data.latents import NULL_PROMPT
from videojam.data.prepare.plan import Shard
from videojam.data.prepare.request import PrepareRequest
from videojam.data.prepared import NULL_NAME
from videojam.files import write_tensors
from videojam.models.encoders import text_fingerprint
from videojam.models.load import LoadedModel
from videojam.models.outline import loaded_encoders

WORK = ".work"
TEXT_BATCH = 16


def text_path(out: Path, shard: Shard) -> Path:
    """Return the file in which a shard's captions wait for its clips."""
    return out / WORK / f"text-{shard.number:05d}.safetensors"


def encode_texts(request: PrepareRequest, shards: list[Shard], say: Callable[[str], None]) -> None:
    """Encode the captions of shards that lack them, shard by shard, with the text encoder and nothing else loaded."""
    missing = [shard for shard in shards if lacks_texts(request, shard)]
    if not missing and (request.out / NULL_NAME).is_file():
        return
    say(f"encoding captions with {request.base}")
    with text_maker(request) as maker:
        maker.make_null()
        for shard in missing:
            maker.make(shard)


def lacks_texts(request: PrepareRequest, shard: Shard) -> bool:
    """Whether a shard's captions are not encoded yet."""
    return _stored_hash(text_path(request.out, shard)) != shard.clips_hash


@dataclass(frozen=True)
class TextMaker:
    """Encodes the captions of shards.

    Attributes:
        request: What is prepared.
        model: With its text encoder.
        fingerprint: Of the text encoder.
    """

    request: PrepareRequest
    model: LoadedModel
    fingerprint: str

    def make_null(self) -> None:
        """Encode the null text, where that isn't done yet."""
        null = self.request.out / NULL_NAME
        if not null.is_file():
            self._write(null, [NULL_PROMPT], {})

    def make(self, shard: Shard) -> None:
        """Encode a shard's captions into the file beside it."""
        captions = [row.caption for row in shard.rows]
        self._write(text_path(self.request.out, shard), captions, {"clips_hash": shard.clips_hash})

    def _write(self, path: Path, captions: list[str], words: dict[str, str]) -> None:
        length = self.request.settings.max_sequence_length or self.model.defaults.max_sequence_length
        batches = [
            self.model.family.encode_prompts(self.model.pipeline, captions[i : i + TEXT_BATCH], length)
            for i in range(0, len(captions), TEXT_BATCH)
        ]
        tensors = {key: torch.cat([batch[key].cpu() for batch in batches]).contiguous() for key in batches[0]}
        write_tensors(path, tensors, {**words, "encoder": self.fingerprint})


@contextmanager
def text_maker(request: PrepareRequest) -> Iterator[TextMaker]:
    """Load the text encoder, and free it afterwards."""
    with loaded_encoders(request.base, "text", request.device) as model:
        yield TextMaker(request, model, text_fingerprint(model.pipeline))


def _stored_hash(path: Path) -> str | None:
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("clips_hash")
    except (OSError, SafetensorError):
        return None


@contextmanager
def read_texts(path: Path) -> Iterator[tuple[Callable[[int], dict[str, Tensor]], str]]:
    """Yield what reads the text tensors of a clip of a shard, and the text encoder's fingerprint."""
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())

        def of(number: int) -> dict[str, Tensor]:
            return {f"text.{name}": file.get_slice(name)[number] for name in names}

        yield of, (file.metadata() or {})["encoder"]
