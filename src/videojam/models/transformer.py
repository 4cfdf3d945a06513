"""One transformer of a model folder into memory, tensor by tensor: no second copy of its weights at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from videojam.models.configs import empty_module
from videojam.models.folder import TransformerFolder
from videojam.models.header import Header
from videojam.models.stream import DTYPES, read_tensor
from videojam.models.tensors import loaded_files, missing_tensor

Change = Callable[[str, Tensor], Tensor]


def load_transformer(folder: TransformerFolder, config: dict[str, Any], change: Change) -> Any:
    """Build a transformer from a folder's weights; at its fullest, memory holds it and one tensor more.

    diffusers' own loading maps the files, so that what it casts is in memory twice.

    Args:
        folder: Where the weights are.
        config: Of the transformer that is built; the folder's own, or the joint one of `change`.
        change: Function of (name, tensor as stored) that returns the tensor to keep: widened, of another type.

    Raises:
        VideoJamError: a tensor is missing.
    """
    transformer = empty_module(config)
    expected = transformer.state_dict().keys()
    state = {
        name: change(name, tensor) for name, tensor in _stored_tensors(folder, set(expected))
    }  # what the class doesn't know, such as a stored rotary table, is not read
    missing = sorted(expected - state.keys())
    if missing:
        raise missing_tensor(missing[0], len(missing), folder.path)
    transformer.load_state_dict(state, strict=True, assign=True)
    return transformer.eval()


def _stored_tensors(folder: TransformerFolder, names: set[str]) -> Iterator[tuple[str, Tensor]]:
    for header in loaded_files(folder.headers):
        yield from _tensors_of(header, names)


def _tensors_of(header: Header, names: set[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield the named tensors of a file in the order in which they lie in it."""
    entries = header.entries
    others = []
    with header.path.open("rb") as reader:
        for name in sorted(names & entries.keys(), key=lambda name: entries[name].start):
            if entries[name].dtype in DTYPES:
                yield name, read_tensor(reader, header, entries[name])
            else:
                others.append(name)
    if others:  # small tables of whole numbers
        with safe_open(header.path, framework="pt") as file:
            yield from ((name, file.get_tensor(name).clone()) for name in others)


def float_buffers_to(transformer: torch.nn.Module, dtype: torch.dtype) -> None:
    """Bring floating buffers outside the state dict, such as float64 rotary tables, to a type; parameters stay.

    Args:
        transformer: Changed in place.
        dtype: Their new type; float32 halves the cost of Wan's rotary tables on a CPU.
    """
    for module in transformer.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_floating_point():
                module._buffers[name] = buffer.to(dtype)
