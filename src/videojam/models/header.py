"""The header of a safetensors file: what tensors it holds, read without touching their data."""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from videojam.errors import VideoJamError
from videojam.misfits import reason

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""
NUM_BYTES = {
    "F64": 8,
    "I64": 8,
    "F32": 4,
    "I32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
"""Of the types whose sizes are checked."""


class Entry(NamedTuple):
    """One tensor of a file.

    Attributes:
        dtype: In the format's words, as "BF16".
        shape: Its shape.
        start: Its first byte, counted from the beginning of the data.
        end: The byte after its last.
    """

    dtype: str
    shape: list[int]
    start: int
    end: int

    @property
    def num_parameters(self) -> int:
        """Numbers that it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a file holds.

    Attributes:
        path: The file.
        entries: Its tensors by name.
        metadata: Words of whoever wrote it; None: there are none.
        data_start: The file's byte at which the data begins.
    """

    path: Path
    entries: dict[str, Entry]
    metadata: dict[str, Any] | None
    data_start: int


def require_ordinary(path: Path) -> None:
    """Refuse a named pipe or a device, whose opening would wait for ever.

    Raises:
        OSError: it is one.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError("a named pipe or a device")


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file; refuse one that is cut short, whose tensors don't fill the file.

    The format is 8 bytes of header length, a JSON header with dtype, shape and data offsets, and the data.
    The file is read up to the end of its header and not mapped, so that its size doesn't matter.

    Raises:
        VideoJamError: the file isn't complete safetensors.
    """
    try:
        require_ordinary(path)
        with path.open("rb") as raw:
            num_bytes = os.fstat(raw.fileno()).st_size
            (length,) = struct.unpack("<Q", raw.read(8))
            if length > min(num_bytes - 8, MAX_HEADER_BYTES):
                raise ValueError(f"a header of {length} bytes in a file of {num_bytes}")
            content = json.loads(raw.read(length))
        metadata = content.pop("__metadata__", None)
        entries = {
            name: Entry(
                entry["dtype"], [int(size) for size in entry["shape"]], *map(int, entry["data_offsets"])
            )
            for name, entry in content.items()
        }
        end = 0
        for name, entry in sorted(entries.items(), key=lambda item: item[1].start):
            if not end == entry.start <= entry.end:
                raise ValueError(f"the data of {name} doesn't follow that of the tensor before it")
            size = NUM_BYTES.get(entry.dtype)
            if size is not None and math.prod(entry.shape) * size != entry.end - end:
                raise ValueError(f"{name} is {entry.dtype} of shape {entry.shape} in {entry.end - end} bytes")
            end = entry.end
        if 8 + length + end != num_bytes:
            raise ValueError(f"{num_bytes} bytes, where the header says {8 + length + end}")
    except OSError as error:
        raise VideoJamError(
            expected="a safetensors file that can be read",
            found=reason(error),
            where=str(path),
            fix="Change its permissions or its link, or copy the model again.",
        ) from None
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VideoJamError(
            expected="a complete safetensors file",
            found=str(error) or type(error).__name__,
            where=str(path),
            fix="The file is broken or copied in part: copy or download it again.",
        ) from None
    return Header(path, entries, metadata, 8 + length)
