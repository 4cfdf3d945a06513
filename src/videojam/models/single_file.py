"""One file a transformer, with the names of the original code: what ComfyUI and diffusers' `from_single_file` read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import load_file

from videojam.errors import VideoJamError
from videojam.families import FAMILIES, Projections
from videojam.misfits import reason
from videojam.models.folder import TransformerFolder
from videojam.models.header import Header, read_header
from videojam.models.record import MotionRecord
from videojam.models.stream import merge
from videojam.models.tensors import WEIGHTS_STEM, check_every_tensor, stem_of
from videojam.strict import Strict

OUR_KEY = "videojam"
"""Where a single file's header holds what `SingleFile` says, as JSON."""
CONFIG_KEY = "config"
"""Where Lightricks' files hold the transformer's config, and where ComfyUI looks for it."""
BYTES = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Types in which two tensors are equal only if their bits are."""


class SingleFile(Strict):
    """What the header of a single file says beside its tensors."""

    record: MotionRecord | None = Field(description="Motion record; None of a base.")
    num_channels: int = Field(ge=1, description="C, the channels of the appearance latent.")


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
    num_channels = transformer.family.latent_channels(transformer.config) // (1 if record is None else 2)
    ours = SingleFile(record=record, num_channels=num_channels)
    metadata = {"format": "pt", CONFIG_KEY: json.dumps(config), OUR_KEY: ours.model_dump_json()}
    merge(headers, target, names, metadata)
    check_single_file(transformer, target)


def default_variant(transformer: TransformerFolder) -> list[Header]:
    """Return the files that diffusers loads if no variant is asked for: the weights or their shards.

    Raises:
        VideoJamError: there are only files of a variant.
    """
    headers = [header for header in transformer.headers if stem_of(header) == WEIGHTS_STEM]
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

    classes = cast("dict[str, dict[str, Any]]", SINGLE_FILE_LOADABLE_CLASSES)
    convert = classes[transformer.family.transformer_class]["checkpoint_mapping_fn"]
    converted = convert(load_file(file))
    for header in default_variant(transformer):
        with safe_open(header.path, framework="pt") as stored:
            for name in header.entries:
                if name not in converted or not _same_bits(converted.pop(name), stored.get_tensor(name)):
                    raise _not_returned(name, file)
    if converted:
        raise _not_returned(next(iter(converted)), file)


def read_single_file(file: str | Path) -> SingleFile:
    """Return what the header of a single file says.

    Args:
        file: Single file.

    Raises:
        VideoJamError: it is no safetensors file, or none that videojam wrote; tools that change weights drop its words.
    """
    text = (read_header(Path(file)).metadata or {}).get(OUR_KEY)
    try:
        return SingleFile.model_validate_json(text or "")
    except ValueError as error:
        found = reason(error) if text else "a header without its words"
    raise VideoJamError(
        expected="a file that `videojam export MODEL --single-file` wrote",
        found=found,
        where=str(file),
        fix="Export the model again: videojam export MODEL --single-file --out DIR",
    )


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
