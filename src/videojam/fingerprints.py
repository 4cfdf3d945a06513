"""Hashes by which content is known again: of text, of plain data, of a file, of a module, of a model's folder.

All are SHA-256 in hexadecimal.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD_BYTES = 1 << 20
VOLATILE = ("_name_or_path", "_diffusers_version", "transformers_version", "dtype", "torch_dtype")
"""Keys of a config that say where and with what it was saved."""


def of_bytes(content: bytes) -> str:
    """Hash bytes as they are."""
    return hashlib.sha256(content).hexdigest()


def of_text(text: str) -> str:
    """Hash a text, as UTF-8."""
    return of_bytes(text.encode())


def of_data(content: Any) -> str:
    """Hash plain data; the order of its keys does not count.

    Args:
        content: What JSON can hold.
    """
    return of_text(json.dumps(content, sort_keys=True))


def of_file(path: Path) -> str:
    """Hash a file's bytes.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_module(module: Any) -> str:
    """Hash a module's config and a sample of each of its weights: cheap, and another model gives another hash."""
    digest = hashlib.sha256()
    config = module.config.to_dict() if hasattr(module.config, "to_dict") else dict(module.config)
    kept = {key: value for key, value in config.items() if key not in VOLATILE}
    digest.update(json.dumps(kept, sort_keys=True, default=str).encode())
    for name, tensor in sorted(module.state_dict().items()):
        flat = tensor.detach().flatten()
        sample = flat[:: max(1, flat.numel() // 64)].float().cpu()
        digest.update(name.encode() + sample.numpy().tobytes())
    return digest.hexdigest()


def of_model_folder(folder: Path) -> str:
    """Hash a model folder's weights and configs: small files whole, large ones by size and first and last MiB."""
    digest = hashlib.sha256()
    for path in sorted(_model_files(folder)):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(HEAD_BYTES))
            if size > HEAD_BYTES:
                file.seek(max(HEAD_BYTES, size - HEAD_BYTES))
                digest.update(file.read())
    return digest.hexdigest()


def _model_files(folder: Path) -> Iterator[Path]:
    """Yield weights and configs; parts of a pipeline may be links to another one's."""
    for place, _, names in os.walk(folder, followlinks=True):
        paths = (Path(place) / name for name in names)
        yield from (path for path in paths if path.suffix in (".safetensors", ".json", ".bin"))
