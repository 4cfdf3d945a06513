"""Rewriting safetensors files with some tensors changed or renamed, in memory of one tensor at a time."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.models.header import Entry, Header

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Types that projections have, and in which NaN and infinity exist."""
CHUNK = 1 << 24


def rewrite(
    source: Header, target: Path, names: Iterable[str], change: Callable[[str, Tensor], Tensor]
) -> dict[str, int]:
    """Copy a safetensors file, with the named tensors changed; peak memory is the largest changed tensor.

    Args:
        source: Header of the file to read.
        target: File to write.
        names: Tensors to change; the rest is copied byte by byte.
        change: Function of (name, tensor) that returns the new tensor, of the same dtype.

    Returns:
        Bytes added, by tensor name.

    Raises:
        VideoJamError: a tensor holds NaN or infinity.
    """
    entries = source.entries
    with source.path.open("rb") as reader:
        changed = {
            name: change(name, read_tensor(reader, source, entries[name])).contiguous()
            for name in sorted(set(names))
        }
        ordered = sorted(entries, key=lambda name: entries[name].start)
        new_header: dict[str, Any] = {} if source.metadata is None else {"__metadata__": source.metadata}
        offset, added = 0, {}
        for name in ordered:
            size, shape = entries[name].end - entries[name].start, entries[name].shape
            if name in changed:
                added[name] = changed[name].nbytes - size
                size, shape = changed[name].nbytes, list(changed[name].shape)
            offsets = [offset, offset + size]
            new_header[name] = {"dtype": entries[name].dtype, "shape": shape, "data_offsets": offsets}
            offset += size
        with target.open("wb") as writer:
            _write_header(writer, new_header)
            for name in ordered:
                if name in changed:
                    _check_finite(changed[name], name, source.path)
                    writer.write(changed[name].reshape(-1).view(torch.uint8).numpy().data)
                else:
                    _copy(reader, writer, source, name)
            writer.flush()
            os.fsync(writer.fileno())
    return added


def merge(
    sources: Sequence[Header], target: Path, names: Mapping[str, str], metadata: Mapping[str, str]
) -> None:
    """Write the tensors of some files (the shards of a model) into one file, byte by byte, under other names.

    Args:
        sources: Headers of the files to read.
        target: File to write.
        names: New name of each tensor, by its name in the files.
        metadata: Words for the header.

    Raises:
        VideoJamError: a tensor holds NaN or infinity.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for source in sources:
        for name, entry in source.entries.items():
            offsets = [offset, offset := offset + entry.end - entry.start]
            header[names[name]] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": offsets}
    with target.open("wb") as writer:
        _write_header(writer, header)
        for source in sources:
            with source.path.open("rb") as reader:
                for name in source.entries:
                    _copy(reader, writer, source, name)
        writer.flush()
        os.fsync(writer.fileno())


def _write_header(writer: BinaryIO, header: dict[str, Any]) -> None:
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # the data begins aligned
    writer.write(struct.pack("<Q", len(encoded)) + encoded)


def read_tensor(reader: BinaryIO, source: Header, entry: Entry) -> Tensor:
    """Read one tensor of a file, of a type in `DTYPES`, into memory of its own.

    Args:
        reader: The file, open.
        source: Its header.
        entry: The tensor.
    """
    reader.seek(source.data_start + entry.start)
    data = bytearray(entry.end - entry.start)
    reader.readinto(data)  # type: ignore[attr-defined]
    return torch.frombuffer(data, dtype=DTYPES[entry.dtype]).reshape(entry.shape)


def _copy(reader: BinaryIO, writer: BinaryIO, source: Header, name: str) -> None:
    """Copy a tensor's bytes in chunks of 16 MiB, and look whether the numbers in them are finite."""
    entry = source.entries[name]
    dtype, left = DTYPES.get(entry.dtype), entry.end - entry.start
    reader.seek(source.data_start + entry.start)
    block = bytearray(min(CHUNK, left))
    while left:
        view = memoryview(block)[: min(CHUNK, left)]
        if reader.readinto(view) != len(view):  # type: ignore[attr-defined]
            raise OSError(f"{source.path} became shorter while it was read")
        writer.write(view)
        left -= len(view)
        if dtype is not None:
            _check_finite(torch.frombuffer(view, dtype=dtype), name, source.path)


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity; one without data holds nothing.

    The smallest and the largest number show it, many times faster than `isfinite` and without a copy as large.
    """
    if not tensor.numel() or not tensor.is_floating_point() or tensor.is_meta:
        return True
    return all(bool(torch.isfinite(bound)) for bound in torch.aminmax(tensor.detach()))


def _check_finite(tensor: Tensor, name: str, path: Path) -> None:
    if not is_finite(tensor):
        raise VideoJamError(
            expected=f"finite numbers in {name}",
            found="NaN or infinity",
            where=str(path),
            fix="The weights are damaged or of a run that diverged: take another copy or checkpoint of the model.",
        )
