"""What diffusers makes of a config: a module without weights, and the defaults of keys that it leaves out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any


def empty_module(config: Mapping[str, Any]) -> Any:
    """Return a module with its parameters on `meta`, and its buffers (rotary tables) real.

    Args:
        config: With `_class_name`, a class of diffusers.
    """
    import diffusers
    from accelerate import init_empty_weights

    with init_empty_weights():
        return getattr(diffusers, config["_class_name"]).from_config(config)


def with_defaults(class_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with the defaults of its class for the keys that it leaves out.

    Args:
        class_name: Of diffusers.
        config: As the model's file has it.
    """
    import diffusers

    parameters = inspect.signature(getattr(diffusers, class_name)).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty} | dict(config)
