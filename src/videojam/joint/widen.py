"""Widening the two projections from C to 2C channels, as functions of tensors and of a transformer."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from videojam.families import Projections, projections_of
from videojam.families.projections import Layout
from videojam.motion.choices import Noise

OutputInit = Literal["zero", "copy"]
Transformer = TypeVar("Transformer", bound=torch.nn.Module)


def widen_input(
    weight: Tensor,
    num_channels: int,
    layout: Layout = "c_outer",
    num_positions: int = 1,
    num_blocks: int = 1,
    has_level: bool = False,
) -> Tensor:
    """Insert C zero columns for d right after the C columns of x; what follows (image-to-video) stays behind.

    Args:
        weight: `[D, C_in, ...]` of a convolution, or `[D, C_in·P]` of a linear layer.
        num_channels: C.
        layout: Order of a linear layer's columns: (c, p) or (p, c).
        num_positions: P of a linear layer.
        num_blocks: Blocks of C channels, from the first on, that get zero columns behind them.
        has_level: Whether one more zero column follows d's, for its own noise level.
    """
    kernel = weight.shape[2:]
    num_positions = num_positions if weight.ndim == 2 else kernel.numel()
    num_in = weight[0].numel() // num_positions
    dim = 1 if layout == "c_outer" else 2
    columns = weight.reshape(-1, *((num_in, num_positions) if dim == 1 else (num_positions, num_in)))
    *blocks, rest = columns.split([num_channels] * num_blocks + [num_in - num_blocks * num_channels], dim=dim)
    doubled = [part for block in blocks for part in (block, torch.zeros_like(block))]
    if has_level:
        doubled.insert(2, torch.zeros_like(blocks[0].narrow(dim, 0, 1)))
    wide = torch.cat([*doubled, rest], dim=dim).flatten(1)
    return wide.reshape(len(weight), -1, *kernel)


def widen_output(rows: Tensor, num_channels: int, layout: Layout, init: OutputInit = "zero") -> Tensor:
    """Add the C motion rows of every patch position: zero, or a copy of the appearance rows.

    `c_inner` (pt, ph, pw, c): interleaved, motion channel k of position p is row p·2C + C + k.
    `c_outer` (c, pt, ph, pw): appended, row (C + k)·P + p.

    Args:
        rows: Weight `[P·C, D]` or bias `[P·C]`.
        num_channels: C.
        layout: Order of the rows.
        init: How the new rows start; both keep the appearance rows exact.
    """
    num_positions = rows.shape[0] // num_channels
    shape = (num_positions, num_channels) if layout == "c_inner" else (num_channels, num_positions)
    x = rows.reshape(*shape, *rows.shape[1:])
    d = x if init == "copy" else torch.zeros_like(x)
    return torch.cat([x, d], dim=1 if layout == "c_inner" else 0).flatten(0, 1)


def widened_tensor(
    name: str, tensor: Tensor, family: Projections, config: dict[str, Any], init: OutputInit
) -> Tensor:
    """Return a parameter of the joint transformer, given the base's config and parameter of the same name."""
    num_channels = family.latent_channels(config)
    if name == family.input_weight:
        num_positions = family.num_positions(config)
        num_blocks = family.num_doubled(config)
        return widen_input(
            tensor, num_channels, family.input_layout, num_positions, num_blocks, family.has_level
        )
    if name in family.output_parameters:
        return widen_output(tensor, num_channels, family.output_layout, init)
    return tensor


def widen_transformer(
    transformer: Transformer, output_init: OutputInit = "zero", noise: Noise = "same"
) -> Transformer:
    """Return the joint transformer of a base one: a new instance of the same stock class, with 2C channels.

    The appearance half of its output equals the base's exactly, for every finite motion input.

    Args:
        transformer: Base transformer in memory; it isn't changed and shares no memory with the result.
        output_init: How the motion rows of the output projection start.
        noise: Noise level of d; with its own the class reads 2C + 1 channels and predicts 2C.

    Raises:
        VideoJamError: the class can't read d's own noise level.
    """
    family = projections_of(transformer).at_noise(noise)
    config: dict[str, Any] = dict(transformer.config)  # type: ignore[arg-type]
    joint = type(transformer).from_config(family.joint_config(config))  # type: ignore[attr-defined]
    state = {
        name: widened_tensor(name, tensor.detach(), family, config, output_init).clone()
        for name, tensor in transformer.state_dict().items()
    }
    # assign keeps each parameter's own dtype and device (Wan holds some in float32 beside bfloat16)
    joint.load_state_dict(state, strict=True, assign=True)
    joint.to(next(transformer.parameters()).device)  # buffers outside the state dict: rotary tables
    return joint.train(transformer.training)
