"""What the verbs share: configs from flags, devices, and how errors are told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from videojam.errors import VideoJamError

if TYPE_CHECKING:
    from videojam.guidance.config import GuidanceConfig
    from videojam.models.load import LoadedModel

MODEL_HELP = "Pipeline folder, hub id, or a shipped model: tiny:base, tiny:control, tiny:videojam."
Config = TypeVar("Config")


def build(kind: Callable[..., Config], where: str, **fields: Any) -> Config:
    """Build a config from flags, telling a value that doesn't fit as every other error is told."""
    from pydantic import ValidationError

    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the combination of flags"
        raise VideoJamError(
            expected=f"a value that fits {key}: {first['msg']}",
            found=repr(first["input"]),
            where=where,
            fix="Correct the flag; --help describes it.",
        ) from None


def print_error(error: VideoJamError) -> None:
    """Print what was expected, found, where, and what to do, to stderr."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    parts = (("expected", error.expected), ("found", error.found), ("where", error.where), ("do", error.fix))
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:  # whole lines for logs and scripts
        lines = (f"  {name:<9}{text}" for name, text in parts)
        print("error", *lines, sep="\n", file=sys.stderr)
        return
    rows = Table.grid(padding=(0, 2))
    for name, text in parts:
        rows.add_row(Text(name, style="bold"), Text(text))
    console.print(Panel(rows, title="error", title_align="left", border_style="red"))


def device_of(name: str | None) -> str:
    """The device of a `--device` flag: the GPU where there is one, if not given."""
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise VideoJamError(
            expected="a device that torch can use here",
            found=str(error).splitlines()[0],
            where=f"--device {name}",
            fix="Choose cpu, or leave --device out.",
        ) from None
    return name


def torch_dtype_of(name: str | None) -> Any:
    """The torch dtype of a `--dtype` flag."""
    import torch

    return None if name is None else getattr(torch, name)


def say(line: str) -> None:
    """Tell the user something on stderr; stdout is for results."""
    typer.echo(line, err=True)


def guidance_of(model: LoadedModel, asked: dict[str, Any]) -> GuidanceConfig:
    """A model's default guidance, with what was asked for (not None) in its place."""
    from videojam.guidance.config import GuidanceConfig
    from videojam.sampling.sample import default_guidance

    given = {name: value for name, value in asked.items() if value is not None}
    return build(GuidanceConfig, "guidance", **{**default_guidance(model).model_dump(), **given})
