"""A learning rate of their own for the new rows and columns of the two widened projections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from videojam.families import Projections
from videojam.families.stock import Transformer
from videojam.joint.widen import widened_tensor
from videojam.training.sharding import local


def new_entries(transformer: Transformer, family: Projections) -> dict[str, Tensor]:
    """Return, by parameter name, a mask of the entries of the two projections that the base does not have.

    Found by widening tensors of ones with the new entries zero, with the code that converts.
    """
    masks = {}
    joint = dict(transformer.config)
    base = family.base_config(joint)
    parameters = dict(transformer.named_parameters())
    for name in family.projection_names(parameters):
        ones = torch.ones(family.base_shape(name, list(parameters[name].shape), joint))
        masks[name] = (widened_tensor(name, ones, family, base, "zero") == 0).to(parameters[name].device)
    return masks


@contextmanager
def scaled_updates(parameters: dict[str, Tensor], masks: dict[str, Tensor], factor: float) -> Iterator[None]:
    """Multiply what an optimizer step does to the masked entries by a factor, with any optimizer.

    Adam's step does not depend on the gradient's scale, so the update itself is scaled, not the gradient.

    Args:
        parameters: Trained parameters by name, cut over processes or not.
        masks: Of this process's parts of them, by name.
        factor: Of the update.
    """
    values = {name: local(parameters[name]) for name in masks} if factor != 1 else {}
    before = {name: value.detach().clone() for name, value in values.items()}
    yield
    with torch.no_grad():
        for name, old in before.items():
            value = values[name]
            value.copy_(torch.where(masks[name], old + factor * (value - old), value))
