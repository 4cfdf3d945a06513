"""Shards of a prepared data set: Parquet, one row a clip, with its latents as bytes.

Columns are the manifest's, `motion_mean`, and four for each tensor: `NAME` (bytes), `NAME.shape`, `NAME.dtype` and
`NAME.crc32`, which is compared whenever the tensor is read.
Tensors are `x_mean`, `x_std`, `d_mean`, `d_std`, `text.*` and `image.*`. Metadata of the file says what made it.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from pyarrow import parquet
from torch import Tensor

from videojam.data.manifest import ManifestRow
from videojam.errors import VideoJamError
from videojam.files import refused, renamed
from videojam.misfits import reason

SCHEMA_VERSION = 1
KEY = b"videojam"
FIX = "Free space or change the folder's permissions, and start again: finished shards are kept."
KINDS = {"str": pa.string(), "float": pa.float64(),
         "int": pa.int64(), "float | None": pa.float64()}  # fmt: skip
PROPERTIES = (".shape", ".dtype", ".crc32")
"""Columns that stand beside a tensor's bytes."""
OPEN_FILES = 64


class ShardWriter:
    """Writes rows one by one, so that no more than one is held.

    Args:
        path: File to write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: parquet.ParquetWriter | None = None
        self.num_rows = 0

    def add(self, row: ManifestRow, motion_mean: float, tensors: Mapping[str, Tensor]) -> None:
        """Append a clip as a row group of its own, which can be read without the others."""
        columns: dict[str, Any] = {**asdict(row), "motion_mean": motion_mean}
        for name, tensor in tensors.items():
            tensor = tensor.detach().cpu().contiguous()
            columns[name] = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
            columns[f"{name}.crc32"] = zlib.crc32(columns[name])
            columns[f"{name}.shape"] = list(tensor.shape)
            columns[f"{name}.dtype"] = str(tensor.dtype).removeprefix("torch.")
        schema = _schema(list(tensors))
        self._write(pa.Table.from_pylist([columns], schema=schema), schema)
        self.num_rows += 1

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the end of the file.

        Args:
            facts: What made it, and what was left out.
        """
        if self._writer is None:
            schema = _schema([])
            self._write(pa.Table.from_pylist([], schema=schema), schema)
        assert self._writer is not None
        self._writer.add_key_value_metadata({KEY: json.dumps(facts, ensure_ascii=False).encode()})
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, table: pa.Table, schema: pa.Schema) -> None:
        if self._writer is None:
            # latents are noise to a compressor, and statistics would hold their bytes twice more
            self._writer = parquet.ParquetWriter(
                self._path, schema, compression="none", use_dictionary=False, write_statistics=False
            )
        self._writer.write_table(table)


@contextmanager
def new_shard(path: Path) -> Iterator[ShardWriter]:
    """Write a shard under a temporary name; it gets its own when the block ends well.

    Raises:
        VideoJamError: no room or permission.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with renamed(path) as unfinished:
            writer = ShardWriter(unfinished)
            try:
                yield writer
            finally:
                writer.close()
    except OSError as error:
        raise refused(path, error, FIX) from error


def read_facts_of(path: Path) -> dict[str, Any]:
    """Return what made a shard, and what was left out.

    Raises:
        VideoJamError: it is no whole shard of ours.
    """
    content = (_open(path).metadata.metadata or {}).get(KEY)
    if content is None:
        raise damaged(path, "a Parquet file that videojam did not write")
    facts: dict[str, Any] = json.loads(content)
    if facts.get("schema_version") != SCHEMA_VERSION:
        raise damaged(path, f"schema version {facts.get('schema_version')}, not {SCHEMA_VERSION}")
    return facts


def read_columns(path: Path, names: list[str]) -> list[dict[str, Any]]:
    """Read small columns of every row.

    Raises:
        VideoJamError: the bytes are not those that were written.
    """
    with _explained(path):
        rows: list[dict[str, Any]] = _open(path).read(columns=names).to_pylist()
    return rows


def read_tensors(path: Path, row: int, names: tuple[str, ...] | None = None) -> dict[str, Tensor]:
    """Read the tensors of one row.

    Args:
        path: Shard.
        row: Number of the row in it.
        names: Which ones; all if None.

    Raises:
        VideoJamError: the bytes are not those that were written.
    """
    file = _open(path)
    names = names or tensor_names(path)
    columns = ["clip_id"] + [f"{name}{suffix}" for name in names for suffix in ("", *PROPERTIES)]
    with _explained(path):
        (content,) = file.read_row_group(row, columns=columns, use_threads=False).to_pylist()
    return {name: _tensor(content, name, path) for name in names}


def tensors_of(row: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a row that another reader gave, such as Hugging Face `datasets` or pyarrow.

    Args:
        row: Values by column.

    Raises:
        VideoJamError: the bytes are not those that were written.
    """
    names = [name for name in row if f"{name}.shape" in row]
    return {name: _tensor(dict(row), name, Path("a row")) for name in names}


def _tensor(content: dict[str, Any], name: str, path: Path) -> Tensor:
    if zlib.crc32(content[name]) != content[f"{name}.crc32"]:
        raise damaged(path, f"other bytes in {name} of {content.get('clip_id', 'a clip')}")
    dtype = getattr(torch, content[f"{name}.dtype"])
    return torch.frombuffer(bytearray(content[name]), dtype=dtype).reshape(content[f"{name}.shape"])


def tensor_names(path: Path) -> tuple[str, ...]:
    """Return the names of the tensors that a shard holds."""
    names = _open(path).schema_arrow.names
    return tuple(name for name in names if f"{name}.shape" in names)


def damaged(
    path: Path,
    found: str,
    fix: str = "Delete the file and prepare again: only it is made anew. If it happens again, check the disk.",
) -> VideoJamError:
    """Return the error of a file that isn't the shard that was written."""
    return VideoJamError(
        expected="a shard as `videojam data prepare` wrote it",
        found=found,
        where=str(path),
        fix=fix,
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise damaged(path, reason(error), "Prepare again: only what is missing is made.") from None
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, reason(error)) from None


@lru_cache(maxsize=OPEN_FILES)
def _opened(path: Path, stamp: tuple[int, int], thread: int) -> parquet.ParquetFile:
    return parquet.ParquetFile(path, memory_map=True)  # not safe for two threads at once


def _open(path: Path) -> parquet.ParquetFile:
    with _explained(path):
        stat = path.stat()
        return _opened(path, (stat.st_size, stat.st_mtime_ns), threading.get_ident())


def _schema(names: list[str]) -> pa.Schema:
    columns = [(field.name, KINDS[str(field.type)]) for field in fields(ManifestRow)]
    columns.append(("motion_mean", pa.float64()))
    for name in names:
        columns += [(name, pa.binary()), (f"{name}.shape", pa.list_(pa.int64()))]
        columns += [(f"{name}.dtype", pa.string()), (f"{name}.crc32", pa.int64())]
    return pa.schema(columns)
