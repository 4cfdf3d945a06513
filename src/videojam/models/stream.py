"""Rewriting a safetensors file with some tensors changed, in memory of one tensor at a time."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from videojam.errors import VideoJamError


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file and the offset of its data; refuse a truncated file.

    Raises:
        VideoJamError: the file isn't complete safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:  # checks that header and data fit the file's length
            file.keys()
        with path.open("rb") as raw:
            (length,) = struct.unpack("<Q", raw.read(8))
            return json.loads(raw.read(length)), 8 + length
    except (SafetensorError, OSError, struct.error, ValueError) as error:
        raise VideoJamError(
            expected="a complete safetensors file",
            found=str(error) or type(error).__name__,
            where=str(path),
            fix="The file is broken or half-copied: copy or download it again.",
        ) from None


def rewrite(
    source: Path, target: Path, names: Iterable[str], change: Callable[[str, Tensor], Tensor]
) -> dict[str, int]:
    """Copy a safetensors file, with the named tensors changed; peak memory is the largest changed tensor.

    The format is 8 bytes of header length, a JSON header with dtype, shape and data offsets, and the data.

    Args:
        source: File to read.
        target: File to write.
        names: Tensors to change; the rest is copied byte by byte.
        change: Function of (name, tensor) that returns the new tensor, of the same dtype.

    Returns:
        Bytes added, by tensor name.
    """
    header, data_start = read_header(source)
    names = set(names)
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    with safe_open(source, framework="pt") as file:
        changed = {name: change(name, file.get_tensor(name)).contiguous() for name in sorted(names)}

    new_header: dict[str, Any] = {k: v for k, v in header.items() if k == "__metadata__"}
    offset, added = 0, {}
    ordered = sorted(entries, key=lambda name: entries[name]["data_offsets"][0])
    for name in ordered:
        start, end = entries[name]["data_offsets"]
        size, shape = end - start, entries[name]["shape"]
        if name in changed:
            size, shape = changed[name].nbytes, list(changed[name].shape)
            added[name] = size - (end - start)
        new_header[name] = {
            "dtype": entries[name]["dtype"],
            "shape": shape,
            "data_offsets": [offset, offset + size],
        }
        offset += size

    with source.open("rb") as reader, target.open("wb") as writer:
        encoded = json.dumps(new_header, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % 8)  # the data begins aligned
        writer.write(struct.pack("<Q", len(encoded)) + encoded)
        for name in ordered:
            if name in changed:
                writer.write(changed[name].reshape(-1).view(torch.uint8).numpy().tobytes())
            else:
                start, end = entries[name]["data_offsets"]
                _copy_range(reader, writer, data_start + start, end - start)
        writer.flush()
        os.fsync(writer.fileno())
    shutil.copymode(source, target)
    return added


def _copy_range(reader: BinaryIO, writer: BinaryIO, start: int, num_bytes: int, chunk: int = 1 << 24) -> None:
    """Copy a range of bytes in chunks of 16 MiB."""
    reader.seek(start)
    while num_bytes:
        block = reader.read(min(chunk, num_bytes))
        writer.write(block)
        num_bytes -= len(block)
