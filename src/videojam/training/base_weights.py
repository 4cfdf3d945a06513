"""The frozen base under adapters: its matrices in bf16, fp8 or int8, and everything else in float32.

Only the weights of linear and convolution layers are made smaller: they are nearly all of the memory, and autocast
computes with them in bf16 in any case, so that a bf16 base trains as its float32 copy does. Norms, biases, tables,
adapters and the two projections stay in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from videojam.families import Projections
from videojam.optional import from_extra
from videojam.training.config import TrainConfig

MATRICES = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.Conv3d)
Stored = Literal["fp32", "bf16", "fp8", "int8"]
BYTES: dict[Stored, float] = {"fp32": 4.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0}


def stored_type(config: TrainConfig) -> Stored:
    """Return the type in which the matrices that are no projections are held: of the base, or of what is trained."""
    if config.lora is None:
        return config.master_weights
    is_cut = config.parallel.kind == "fsdp"  # FSDP2 asks for one type in a block, and gathers it in bf16
    return config.lora.base_weights or ("bf16" if config.precision == "bf16" and not is_cut else "fp32")


def matrices_of(transformer: torch.nn.Module, family: Projections) -> list[str]:
    """Return the names of the weights that may be made smaller: no projection's, none that the class keeps in fp32.

    Args:
        transformer: Without adapters; its parameters may be on `meta`.
        family: Its family.
    """
    kept = tuple(getattr(transformer, "_keep_in_fp32_modules", None) or ())
    names = [f"{name}.weight" for name, module in transformer.named_modules() if isinstance(module, MATRICES)]
    return [
        name
        for name in names
        if not family.is_of_projection(name) and not any(part in name.split(".") for part in kept)
    ]


def matrices_to_bf16(transformer: torch.nn.Module, family: Projections) -> None:
    """Hold the weights that may be made smaller in bf16.

    Args:
        transformer: Its parameters may be on `meta`.
        family: Its family.
    """
    names = set(matrices_of(transformer, family))
    for name, parameter in transformer.named_parameters():
        if name in names:
            parameter.data = parameter.data.to(torch.bfloat16)


@contextmanager
def as_float32(transformer: torch.nn.Module) -> Iterator[None]:
    """Let linear layers look as if their weights were float32 while adapters are put on, which take that type.

    The stand-ins have the shape and no memory; adapters then start as they do on a float32 base.
    """
    layers = [m for m in transformer.modules() if isinstance(m, MATRICES) and m.weight.dtype != torch.float32]
    own = [layer.weight for layer in layers]
    for layer, weight in zip(layers, own, strict=True):
        stand_in = torch.zeros((), device=weight.device).expand(weight.shape)
        layer.weight = torch.nn.Parameter(stand_in, requires_grad=False)
    try:
        yield
    finally:
        for layer, weight in zip(layers, own, strict=True):
            layer.weight = weight


def quantise(transformer: Any, kind: Stored) -> None:
    """Store the matrices under adapters in 8 bits with a scale for each row, by torchao; layer by layer, in place.

    Args:
        transformer: With adapters on it.
        kind: fp8 or int8; another one changes nothing.

    Raises:
        VideoJamError: torchao is not installed.
    """
    if kind not in ("fp8", "int8"):
        return
    package, without = "torchao, which stores weights in 8 bits", "set lora.base_weights: bf16"
    with from_extra(package, "videojam[8bit]", f"lora.base_weights: {kind}", without):
        from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_
    how = Float8WeightOnlyConfig() if kind == "fp8" else Int8WeightOnlyConfig()
    quantize_(
        transformer,
        how,
        filter_fn=lambda module, name: (
            isinstance(module, torch.nn.Linear)
            and module.weight.dtype == torch.bfloat16
            and not module.weight.requires_grad
        ),
    )


def thaw(transformer: Any, weights: dict[str, Tensor]) -> None:
    """Put float32 weights in place of a base's small ones, so that adapters are fused without rounding.

    Args:
        transformer: With adapters on it.
        weights: Of the base by their names without adapters.
    """
    for name, module in transformer.named_modules():
        if (isinstance(module, MATRICES) and module.weight.dtype != torch.float32) or _is_quantised(module):
            plain = name.replace(".base_layer", "") + ".weight"
            module.weight = torch.nn.Parameter(weights[plain], requires_grad=False)


def _is_quantised(module: torch.nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(module, MATRICES) and type(weight).__module__.startswith("torchao")
