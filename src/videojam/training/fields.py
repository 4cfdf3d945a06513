"""Every key of a recipe as commented YAML: its meaning, choices, bounds and default."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from videojam.misfits import models_in
from videojam.training.config import TrainConfig

WIDTH = 80
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def describe_fields(model: type[BaseModel] = TrainConfig, indent: int = 0) -> list[str]:
    """Describe every key: comment lines with its meaning, choices and bounds, then `key: default`."""
    lines: list[str] = []
    for name, field in model.model_fields.items():
        lines += _comment(_meaning(field), indent)
        inner = models_in(field.annotation)
        lines.append(f"{'  ' * indent}{name}:{'' if inner else _default(field)}")
        for kind in inner:
            if len(inner) > 1:
                lines += _comment(f"--- {name} of kind {kind.model_fields['kind'].default} ---", indent + 1)
            lines += describe_fields(kind, indent + 1)
    return lines


def _comment(text: str, indent: int) -> list[str]:
    start = f"{'  ' * indent}# "
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False)


def _meaning(field: FieldInfo) -> str:
    """Write a field's description, then what may stand there, as `muon: … [adamw | muon]`."""
    allowed = _choices(field.annotation)
    bounds = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    facts = [" | ".join(allowed)] * bool(allowed) + bounds + ["required"] * field.is_required()
    return f"{field.description}" + (f" [{', '.join(facts)}]" if facts else "")


def _choices(annotation: Any) -> list[str]:
    """Return the values of a `Literal`, or of a yes-or-no field, as YAML has them."""
    if annotation is bool:
        return ["true", "false"]
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [choice for part in get_args(annotation) if part is not NoneType for choice in _choices(part)]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    value = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    return " " + yaml.safe_dump(value, default_flow_style=True).strip().removesuffix("...").strip()
