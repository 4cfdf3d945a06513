"""One file a transformer, with the names of the original code: what ComfyUI and diffusers' `from_single_file` read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from videojam.errors import VideoJamError
from videojam.families import FAMILIES, Projections
from videojam.models.folder import TransformerFolder
from videojam.models.header import Header
from videojam.models.record import MotionRecord
from videojam.models.stream import merge
from videojam.models.tensors import WEIGHTS_STEM, check_every_tensor

RECORD_KEY = "videojam"
"""Where a single file's header holds the motion record, as JSON."""
CONFIG_KEY = "config"
"""Where Lightricks' files hold the transformer's config, and where ComfyUI looks for it."""
BYTES = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Types in which two tensors are equal only if their bits are."""


def original_name(name: str, family: Projections) -> str:
    """Return the name that the original code gives to a parameter.

    Args:
        name: Its name in diffusers.
        family: Of the transformer.
    """
    for pattern, replacement in family.original_names:
        name = re.sub(pattern, replacement, name)
    return name


def require_original_names(transformer: TransformerFolder) -> None:
    """Refuse a class whose original names are not known.

    Raises:
        VideoJamError: lists the classes whose names are.
    """
    if not transformer.family.original_names:
        known = sorted(name for name, family in FAMILIES.items() if family.original_names)
        raise VideoJamError(
            expected=f"a transformer whose original names are known: {', '.join(known)}",
            found=transformer.family.transformer_class,
            where=str(transformer.path),
            fix="Export it as a folder, which diffusers loads.",
        )


def write_single_file(transformer: TransformerFolder, target: Path, record: MotionRecord | None) -> None:
    """Write a transformer as one file with the original names, and read it back through diffusers' conversion.

    The header holds the motion record, and the part of the config that shapes do not show. Weights stream through,
    so that memory is that of one block of 16 MiB; reading back maps both files.

    Args:
        transformer: Folder with its headers.
        target: File to write.
        record: Motion record; None for a base.

    Raises:
        VideoJamError: names that are not known, an incomplete transformer, or a tensor that does not come back.
    """
    require_original_names(transformer)
    check_every_tensor(transformer)
    headers = default_variant(transformer)
    names = {name: original_name(name, transformer.family) for header in headers for name in header.entries}
    config = {"transformer": transformer.family.original_config(transformer.config)}
    metadata = {"format": "pt", CONFIG_KEY: json.dumps(config)}
    if record is not None:
        metadata[RECORD_KEY] = record.model_dump_json()
    merge(headers, target, names, metadata)
    check_single_file(transformer, target)


def default_variant(transformer: TransformerFolder) -> list[Header]:
    """Return the files that diffusers loads if no variant is asked for: the weights or their shards.

    Raises:
        VideoJamError: there are only files of a variant.
    """
    headers = [
        header
        for header in transformer.headers
        if re.sub(r"-\d{5}-of-\d{5}$", "", header.path.stem) == WEIGHTS_STEM
    ]
    if not headers:
        raise VideoJamError(
            expected=f"{WEIGHTS_STEM}.safetensors or its shards",
            found=", ".join(header.path.name for header in transformer.headers) or "no weights",
            where=str(transformer.path),
            fix="Save the transformer without a variant.",
        )
    return headers


def check_single_file(transformer: TransformerFolder, file: Path) -> None:
    """Read a single file through diffusers' own conversion, and compare every tensor with the folder's, bit for bit.

    Args:
        transformer: Folder with its headers.
        file: The single file.

    Raises:
        VideoJamError: names the first tensor that is missing or differs.
    """
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    convert = SINGLE_FILE_LOADABLE_CLASSES[transformer.family.transformer_class]["checkpoint_mapping_fn"]
    converted = convert(load_file(file))
    for header in default_variant(transformer):
        with safe_open(header.path, framework="pt") as stored:
            for name in header.entries:
                if name not in converted or not _same_bits(converted.pop(name), stored.get_tensor(name)):
                    raise _not_returned(name, file)
    if converted:
        raise _not_returned(next(iter(converted)), file)


def read_single_record(file: str | Path) -> MotionRecord | None:
    """Return the motion record in a single file's header; None if there is none.

    Args:
        file: Single file.

    Raises:
        VideoJamError: it is no safetensors file, or its record can't be read.
    """
    from videojam.models.header import read_header

    text = (read_header(Path(file)).metadata or {}).get(RECORD_KEY)
    if text is None:
        return None
    try:
        return MotionRecord.model_validate_json(text)
    except ValueError as error:
        raise VideoJamError(
            expected="a motion record that this version reads",
            found=str(error).splitlines()[0],
            where=str(file),
            fix="Update videojam, or export the model again: videojam export MODEL --single-file --out DIR",
        ) from None


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    kind = BYTES[one.element_size()]
    return torch.equal(one.contiguous().view(kind), other.contiguous().view(kind))


def _not_returned(name: str, file: Path) -> VideoJamError:
    return VideoJamError(
        expected=f"{name} bit for bit when diffusers' own conversion reads the file",
        found="another tensor, or none of that name",
        where=str(file),
        fix="Do not use the file; report it with the versions of videojam and diffusers. The folder is intact.",
    )
