"""Checking a transformer's tensors against its config and its class: all there, unquantised, of the right shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.models.check import COPY_AGAIN
from videojam.models.configs import empty_module
from videojam.models.header import Header

if TYPE_CHECKING:
    from videojam.models.folder import TransformerFolder

FULL_PRECISION = ("F64", "F32", "F16", "BF16", "I64", "I32", "BOOL")
"""Types of safetensors that aren't quantised; integers of 32 bits and more are tables."""
BLOCK = re.compile(r"(\w+\.)+?\d+\.")
"""Name of a block, up to its number."""
WEIGHTS_STEM = "diffusion_pytorch_model"

Shapes = dict[str, list[int]]


def check_every_tensor(transformer: TransformerFolder) -> None:
    """Refuse weights that lack a tensor of their class, have one of another shape, or have more blocks.

    Files of half-precision variants are checked each on its own.

    Raises:
        VideoJamError: names the first tensor.
    """
    expected = shapes_of_config(transformer.config)
    for headers in _variants(transformer.headers):
        found = {name: (header, entry) for header in headers for name, entry in header.entries.items()}
        missing = sorted(expected.keys() - found.keys())
        if missing:
            raise missing_tensor(missing[0], len(missing), transformer.path)
        _refuse_more_blocks(found.keys(), expected.keys(), transformer.path)
        for name, shape in expected.items():
            header, entry = found[name]
            if entry.shape != shape:
                raise VideoJamError(
                    expected=f"the shape {shape} of {name}, as the config says",
                    found=f"{entry.shape}",
                    where=str(header.path),
                    fix="Config and weights are of different models: take both from one checkpoint.",
                )


def _refuse_more_blocks(found: Iterable[str], expected: Iterable[str], path: Path) -> None:
    """Refuse weights of blocks that the config's number of layers leaves out; other tensors are not read either."""
    blocks = {match[0] for match in map(BLOCK.match, expected) if match}
    more = sorted({match[0] for match in map(BLOCK.match, found) if match} - blocks)
    if more:
        raise VideoJamError(
            expected="as many blocks as the config's number of layers says",
            found=f"weights of {len(more)} more, of which the first is {more[0].rstrip('.')}",
            where=str(path),
            fix="Take config.json and weights from one checkpoint.",
        )


def _variants(headers: Iterable[Header]) -> list[list[Header]]:
    """Group files by what diffusers loads together: `diffusion_pytorch_model[.variant]` and its shards."""
    groups: dict[str, list[Header]] = {}
    for header in headers:
        groups.setdefault(stem_of(header), []).append(header)
    loaded = [group for stem, group in groups.items() if stem.split(".")[0] == WEIGHTS_STEM]
    return loaded or [[header for group in groups.values() for header in group]]


def loaded_files(headers: Iterable[Header]) -> list[Header]:
    """Return the files that diffusers loads where no variant is asked for: those without one, if there are any."""
    groups = _variants(headers)
    plain = [group for group in groups if stem_of(group[0]) == WEIGHTS_STEM]
    return (plain or groups or [[]])[0]


def stem_of(header: Header) -> str:
    """Return a file's name without suffix and number of shard: `diffusion_pytorch_model[.variant]`."""
    return re.sub(r"-\d{5}-of-\d{5}", "", header.path.stem)


def shapes_of_config(config: dict[str, Any]) -> Shapes:
    """Return every tensor's shape of a transformer that is built from its config without memory.

    Raises:
        VideoJamError: diffusers can't build the class from this config.
    """
    try:
        transformer = empty_module(config)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        raise VideoJamError(
            expected=f"a config from which diffusers builds {config['_class_name']}",
            found=reason(error),
            where="config.json of the transformer",
            fix="Take config.json from an intact copy of the model, or update diffusers if the class is new.",
        ) from None
    return {name: list(tensor.shape) for name, tensor in transformer.state_dict().items()}


def check_weights(transformer: TransformerFolder) -> None:
    """Refuse weights that are quantised, or of other channels than the config says."""
    config, family = transformer.config, transformer.family
    in_name, out_name = family.input_weight, family.output_parameters[0]
    seen = set()
    for header in transformer.headers:
        _check_precision(header)
        if in_name in header.entries:
            _, *columns = header.entries[in_name].shape or [0]
            num_in = math.prod(columns) // family.num_positions(config)
            _check_channels(num_in, family.num_inputs(config), in_name, header.path)
        if out_name in header.entries:
            num_rows = family.num_outputs(config) * family.num_positions(config)
            _check_channels((header.entries[out_name].shape or [0])[0], num_rows, out_name, header.path)
        seen.update({in_name, out_name} & header.entries.keys())
    for missing in sorted({in_name, out_name} - seen):
        raise missing_tensor(missing, 1, transformer.path)


def missing_tensor(name: str, number: int, path: Path) -> VideoJamError:
    """Return the error of weights that lack `number` tensors, of which `name` is the first."""
    more = f" and {number - 1} more" if number > 1 else ""
    return VideoJamError(
        expected=f"the tensor {name}{more}", found="no file that holds it", where=str(path), fix=COPY_AGAIN
    )


def _check_precision(header: Header) -> None:
    """Refuse weights stored in 8 bits or fewer; they carry scales that widening doesn't know."""
    for name, entry in header.entries.items():
        if entry.dtype not in FULL_PRECISION:
            raise quantised(header.path, f"a quantised checkpoint: {name} is {entry.dtype}")


def quantised(where: Path, found: str) -> VideoJamError:
    """Return the error of a checkpoint in 8 bits or fewer."""
    return VideoJamError(
        expected="full-precision weights (float32, bfloat16 or float16)",
        found=found,
        where=str(where),
        fix="Convert the unquantised base, then quantise the joint model.",
    )


def _check_channels(found: int, expected: int, name: str, file: Path) -> None:
    if found != expected:
        raise VideoJamError(
            expected=f"{expected} channels in {name}, as the config says",
            found=f"{found}",
            where=str(file),
            fix="Config and weights are of different models: take both from one checkpoint.",
        )
