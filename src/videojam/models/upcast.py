"""A module of small weights computes what its float32 copy computes, with one block in float32 at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def compute_in_float32(module: nn.Module) -> None:
    """Let a module compute in float32, bit for bit as its float32 copy, while its weights keep their type.

    A block (an element of an outermost `nn.ModuleList`) is in float32 while it runs. A table of embeddings stays as it
    is, and what is read from it is turned to float32. A module outside of blocks, such as a last norm, is treated as
    a block.

    Args:
        module: Changed in place; what is float32 already stays so.
    """
    for part in _parts(module):
        if not any(_is_small(parameter) for parameter in part.parameters()):
            continue
        if isinstance(part, nn.Embedding):
            part.register_forward_hook(lambda part, args, output: output.float())
        else:
            _Block(part)


def compute_blocks_in_float32(transformer: nn.Module) -> None:
    """Let a transformer compute in float32 while the weights of its blocks keep their type; its others become float32.

    Args:
        transformer: Changed in place; its type, as its pipeline asks for it, is float32.
    """
    blocks = [block for part in transformer.children() if isinstance(part, nn.ModuleList) for block in part]
    in_blocks = {id(parameter) for block in blocks for parameter in block.parameters()}
    for parameter in transformer.parameters():
        if _is_small(parameter) and id(parameter) not in in_blocks:
            parameter.data = parameter.data.float()
    for block in blocks:
        compute_in_float32(block)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the blocks, and the modules outside of them that have parameters of their own."""
    if module._parameters:
        yield module
        return
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from _parts(child)


def _is_small(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dtype != torch.float32


class _Block:
    """Brings a block's weights to float32 before it runs, and puts the stored ones back after it.

    Args:
        block: The module.
    """

    def __init__(self, block: nn.Module) -> None:
        tensors = [*block.parameters(), *block.buffers()]
        self.stored = [(tensor, tensor.data) for tensor in tensors if _is_small(tensor)]
        block.register_forward_pre_hook(self.before)
        block.register_forward_hook(self.after, always_call=True)

    def before(self, block: nn.Module, args: Any) -> None:
        """Bring the weights to float32."""
        for tensor, stored in self.stored:
            tensor.data = stored.float()

    def after(self, block: nn.Module, args: Any, output: Any) -> None:
        """Put the stored weights back."""
        for tensor, stored in self.stored:
            tensor.data = stored
