"""A learning rate of their own for the new rows and columns of the two widened projections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from videojam.families import Family
from videojam.joint.widen import widened_tensor


def new_entries(transformer: Any, family: Family) -> dict[str, Tensor]:
    """Return, by parameter name, a mask of the entries of the two projections that the base does not have.

    Found by widening tensors of ones with the new entries zero, with the code that converts.
    """
    masks = {}
    joint = dict(transformer.config)
    base = family.base_config(joint)
    for name in (
        f"{family.input_projection}.weight",
        f"{family.output_projection}.weight",
        f"{family.output_projection}.bias",
    ):
        parameter = dict(transformer.named_parameters()).get(name)
        if parameter is not None:
            rows, *columns = parameter.shape
            if name.startswith(f"{family.input_projection}."):
                num_in = [family.num_inputs(config) for config in (base, joint)]
                columns[0] = columns[0] * num_in[0] // num_in[1]
            else:
                rows //= 2
            wide = widened_tensor(name, torch.ones(rows, *columns), family, base, "zero")
            masks[name] = (wide == 0).to(parameter.device)
    return masks


@contextmanager
def scaled_updates(parameters: dict[str, Tensor], masks: dict[str, Tensor], factor: float) -> Iterator[None]:
    """Multiply what an optimizer step does to the masked entries by a factor, whatever the optimizer.

    Adam's step does not depend on the gradient's scale, so the update itself is scaled, not the gradient.
    """
    before = {name: parameters[name].detach().clone() for name in masks} if factor != 1 else {}
    yield
    with torch.no_grad():
        for name, old in before.items():
            value = parameters[name]
            value.copy_(torch.where(masks[name], old + factor * (value - old), value))
