"""FSDP2: the transformer cut over the processes, block by block, and what a cut tensor holds here and as a whole.

A cut parameter is a DTensor of which each process holds a part. What treats each entry alike (the average, the rate of
new entries) works on the parts; torch's AdamW, Muon and gradient norm take the DTensors themselves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from videojam.errors import VideoJamError


def shard(transformer: Any, device_type: str, *, bf16: bool, cpu_offload: bool) -> Any:
    """Cut a transformer over all processes, in place: each of its repeated blocks, and the rest together.

    With bf16 the blocks are gathered in bf16; the parts (master weights) and the sum of gradients stay fp32.

    Args:
        transformer: A diffusers transformer, on any device: a block at a time moves to the GPU to be cut.
        device_type: Where steps run: "cpu" or "cuda".
        bf16: Whether steps compute in bf16.
        cpu_offload: Keep the parts, their gradients and the optimizer's moments in the host's memory.

    Raises:
        VideoJamError: the class names no repeated blocks.
    """
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard

    blocks = repeated_blocks(transformer)
    mesh = init_device_mesh(device_type, (dist.get_world_size(),))
    options: dict[str, Any] = {"mesh": mesh, "reshard_after_forward": True}
    # Of the root, too: torch would keep it whole after a validation, with the average weights that it measured.
    if cpu_offload:
        options["offload_policy"] = CPUOffloadPolicy(pin_memory=device_type == "cuda")
    in_bf16 = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    for block in blocks:
        fully_shard(block, mp_policy=in_bf16 if bf16 else MixedPrecisionPolicy(), **options)
    return fully_shard(transformer, **options)


def repeated_blocks(transformer: Any) -> list[torch.nn.Module]:
    """Return the blocks of a diffusers transformer, by the class names that it declares for compiling and offload.

    Raises:
        VideoJamError: it declares none.
    """
    kind = type(transformer)
    names = {
        *(getattr(kind, "_repeated_blocks", None) or ()),
        *(getattr(kind, "_no_split_modules", None) or ()),
    }
    blocks = [module for module in transformer.modules() if type(module).__name__ in names]
    if not blocks:
        raise VideoJamError(
            expected="a transformer class that names its repeated blocks",
            found=f"{kind.__name__}, which names none",
            where="parallel.kind: fsdp",
            fix="Train with parallel.kind: ddp.",
        )
    return blocks


def local(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this process holds: of one that isn't cut, itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor; of one that is cut, all processes have to ask together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Return the part of a whole tensor that belongs to this process's part of a parameter of its shape.

    Args:
        tensor: The same on all processes.
        parameter: Cut or not.
    """
    if not isinstance(parameter, DTensor):
        return tensor.to(parameter.device)
    cut = distribute_tensor(
        tensor.to(parameter.device_mesh.device_type), parameter.device_mesh, parameter.placements
    )
    return cut.to_local().to(parameter.to_local().device)
