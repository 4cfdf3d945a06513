"""The captions of a shard, encoded into a file beside it before its clips are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from videojam import fingerprints
from videojam.data.latents import NULL_PROMPT
from videojam.data.prepare.plan import Shard
from videojam.data.prepare.request import PrepareRequest
from videojam.data.prepared import NULL_NAME
from videojam.files import write_tensors
from videojam.models.encoders import loaded_encoders

WORK = ".work"
TEXT_BATCH = 16


def text_path(out: Path, shard: Shard) -> Path:
    """Return the file in which a shard's captions wait for its clips."""
    return out / WORK / f"text-{shard.number:05d}.safetensors"


def encode_texts(request: PrepareRequest, shards: list[Shard], say: Callable[[str], None]) -> None:
    """Encode the captions of shards that lack them, shard by shard, with the text encoder and nothing else loaded."""
    paths = {shard.number: text_path(request.out, shard) for shard in shards}
    missing = [shard for shard in shards if _stored_hash(paths[shard.number]) != shard.clips_hash]
    null = request.out / NULL_NAME
    if not missing and null.is_file():
        return
    say(f"encoding captions with {request.base}")
    with loaded_encoders(request.base, "text", request.device) as model:
        length = request.settings.max_sequence_length or model.defaults.max_sequence_length
        fingerprint = fingerprints.of_module(model.pipeline.text_encoder)
        if not null.is_file():
            tensors = model.family.encode_prompts(model.pipeline, [NULL_PROMPT], length)
            write_tensors(
                null, {k: v.cpu().contiguous() for k, v in tensors.items()}, {"encoder": fingerprint}
            )
        for shard in missing:
            captions = [row.caption for row in shard.rows]
            batches = [
                model.family.encode_prompts(model.pipeline, captions[i : i + TEXT_BATCH], length)
                for i in range(0, len(captions), TEXT_BATCH)
            ]
            tensors = {key: torch.cat([batch[key].cpu() for batch in batches]) for key in batches[0]}
            words = {"clips_hash": shard.clips_hash, "encoder": fingerprint}
            write_tensors(paths[shard.number], {k: v.contiguous() for k, v in tensors.items()}, words)


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
