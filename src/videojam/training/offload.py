"""Frozen blocks that stay in the host's memory and are on the device only while they run, forward and backward.

diffusers' group offload takes a block off the device when its forward ends. The backward pass needs the weights again,
and with checkpointed activations it runs the forward a second time, after which they have to stay until the gradient
of the block's input is there. Adapters stay on the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def blocks_of(transformer: nn.Module) -> list[nn.ModuleList]:
    """Return the lists of blocks of a transformer: those of its own, longer than one."""
    return [child for child in transformer.children() if isinstance(child, nn.ModuleList) and len(child) > 1]


def place(transformer: nn.Module, device: torch.device | str, *, keep_blocks: bool) -> None:
    """Move a transformer to a device, or everything but its blocks.

    Args:
        transformer: In the host's memory.
        device: Where it runs.
        keep_blocks: Whether the blocks stay.
    """
    if not keep_blocks:
        transformer.to(device)
        return
    for tensors in (transformer._parameters, transformer._buffers):
        for value in tensors.values():
            if value is not None:
                value.data = value.data.to(device)
    lists = blocks_of(transformer)
    for child in transformer.children():
        if all(child is not blocks for blocks in lists):
            child.to(device)


class Group:
    """Blocks that come and go together.

    Args:
        blocks: Consecutive ones.
        device: Where they run.
    """

    def __init__(self, blocks: list[nn.Module], device: torch.device) -> None:
        self.device = device
        self.blocks = blocks
        self.is_on = False
        tensors = [*self._frozen(), *(b for block in blocks for b in block.buffers())]
        self.host = [(tensor, _pinned(tensor.data, device)) for tensor in tensors]
        for parameter in (p for block in blocks for p in block.parameters() if p.requires_grad):
            parameter.data = parameter.data.to(device)
        self.off()

    def _frozen(self) -> Iterator[Tensor]:
        return (p for block in self.blocks for p in block.parameters() if not p.requires_grad)

    def on(self) -> None:
        """Copy the weights to the device."""
        if not self.is_on:
            for tensor, stored in self.host:
                tensor.data = stored.to(self.device, non_blocking=True, copy=True)
            self.is_on = True

    def off(self) -> None:
        """Let the device's copies go: frozen weights have not changed."""
        for tensor, stored in self.host:
            tensor.data = stored
        self.is_on = False

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Of a block's forward: bring the weights, and let them go when the first block's input has its gradient."""
        self.on()
        if module is self.blocks[0] and not _in_backward():
            for value in (*args, *kwargs.values()):
                if isinstance(value, Tensor) and value.requires_grad:
                    value.register_hook(self._gradient_is_there)
                    break

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Of a block's forward: let the weights go, unless the backward pass asked for it."""
        if module is self.blocks[-1] and not _in_backward():
            self.off()

    def _gradient_is_there(self, gradient: Tensor) -> None:
        self.off()


def offload_blocks(transformer: nn.Module, num_blocks: int) -> list[Group]:
    """Keep the frozen weights of the blocks in the host's memory, a group of blocks at a time where the other ones are.

    Args:
        transformer: With adapters on it, its activations checkpointed.
        num_blocks: Blocks of a group.
    """
    lists = blocks_of(transformer)
    in_blocks = {id(p) for blocks in lists for p in blocks.parameters()}
    device = next(p.device for p in transformer.parameters() if id(p) not in in_blocks)
    groups = [
        Group(list(blocks[start : start + num_blocks]), device)
        for blocks in lists
        for start in range(0, len(blocks), num_blocks)
    ]
    for group in groups:
        for block in group.blocks:
            block.register_forward_pre_hook(group.before, with_kwargs=True)
            block.register_forward_hook(group.after)
    return groups


def _pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor in the host's memory, pinned where that makes copies to the device faster."""
    host = tensor.cpu()
    return host.pin_memory() if device.type == "cuda" else host


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1
