"""Flags in groups: a verb takes one object for each group in place of a dozen parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from videojam.cli.common import torch_dtype_of
from videojam.guidance.rules import RULES

if TYPE_CHECKING:
    from videojam.models.load import LoadedModel

HOW, SIZE, WHERE = "How it is guided", "Size and steps", "What it runs on"


def grouped(verb: Callable[..., None]) -> Callable[..., None]:
    """Spread each parameter whose type is a dataclass over flags, one a field, and put them together for the verb."""
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    flags: list[inspect.Parameter] = []
    for parameter in inspect.signature(verb).parameters.values():
        if parameter.name not in groups:
            flags.append(parameter.replace(annotation=hints[parameter.name]))
            continue
        kind = groups[parameter.name]
        types = get_type_hints(kind, include_extras=True)
        flags += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=types[field.name],
            )
            for field in fields(kind)
        ]

    @wraps(verb)
    def spread(**given: Any) -> None:
        made = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        verb(**given, **made)

    first = [flag for flag in flags if flag.kind is not inspect.Parameter.KEYWORD_ONLY]
    last = _by_panel([flag for flag in flags if flag.kind is inspect.Parameter.KEYWORD_ONLY])
    spread.__signature__ = inspect.Signature(first + last)  # type: ignore[attr-defined]
    spread.__annotations__ = {flag.name: flag.annotation for flag in first + last}
    return spread


def _by_panel(flags: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Put flags of one panel together, in the order in which the panels come first: a group inherits from others."""
    panels = [flag.annotation.__metadata__[0].rich_help_panel for flag in flags]
    firsts = [panels.index(panel) for panel in panels]
    return [flag for _, flag in sorted(zip(firsts, flags, strict=True), key=lambda pair: pair[0])]


def flag(text: str, panel: str, *names: str, **more: Any) -> Any:
    """Return an option with a help text in a panel."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


@dataclass(frozen=True)
class GuidanceFlags:
    """Flags of `SampleSettings` that every verb that samples has; None is not given."""

    guidance: Annotated[
        str | None,
        flag(f"One of {', '.join(RULES)}. (default: inner; cfg for a base)", HOW, metavar="RULE"),
    ] = None
    w_text: Annotated[
        float | None, flag("w1, by text. (default: the model's, else 5)", HOW, metavar="W1")
    ] = None
    w_motion: Annotated[
        float | None, flag("w2, by motion. (default: the model's, else 3)", HOW, metavar="W2")
    ] = None
    w_auto: Annotated[
        float | None, flag("w of guidance auto, away from --weaker. (default: 1)", HOW, metavar="W")
    ] = None
    weaker: Annotated[
        str | None,
        flag("Folder of the weaker model of guidance auto. (default: no model)", HOW, metavar="MODEL"),
    ] = None
    window: Annotated[
        str | None,
        flag(
            "When motion guides: all, half, steps:0-50, t:0-0.4 or share:0-0.5. (default: half)",
            HOW,
            metavar="WINDOW",
        ),
    ] = None
    drop_motion: Annotated[bool, flag("No optical flow in any forward.", HOW, "--drop-motion")] = False
    lead: Annotated[
        float | None,
        flag("How far motion is ahead, of a model with motion.noise: own. (default: 1)", HOW, metavar="L"),
    ] = None

    def content(self) -> dict[str, Any]:
        """Return keys and values of `SampleSettings`."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given["mode"] = given.pop("guidance")
        return {name: value for name, value in given.items() if value is not None and value is not False}


@dataclass(frozen=True)
class SizeFlags:
    """Flags of a clip's size; None is the model's own."""

    frames: Annotated[
        int | None, flag("Frames of a clip; 4k+1 for Wan. (default: the model's)", SIZE, metavar="N", min=1)
    ] = None
    height: Annotated[int | None, flag("In px. (default: the model's)", SIZE, metavar="PX", min=1)] = None
    width: Annotated[int | None, flag("In px. (default: the model's)", SIZE, metavar="PX", min=1)] = None


@dataclass(frozen=True)
class SampleFlags(SizeFlags, GuidanceFlags):
    """Flags of `SampleSettings`; None is not given."""

    preset: Annotated[
        str | None,
        flag("paper, or two-forwards at the cost of plain CFG. (default: paper)", HOW, metavar="NAME"),
    ] = None
    reuse_every: Annotated[
        int | None,
        flag("Compute what guidance adds on every n-th step only. (default: 1)", HOW, metavar="N", min=1),
    ] = None
    motion_on: Annotated[
        Literal["both", "appearance"] | None,
        flag("What w2 guides: both or appearance. (default: both)", HOW, metavar="HALVES"),
    ] = None
    batched: Annotated[
        bool, flag("Null-motion branch in one batch: faster, more memory.", HOW, "--batched")
    ] = False
    negative_prompt: Annotated[str | None, flag("Null text. (default: the model's)", HOW, metavar="TEXT")] = (
        None
    )
    steps: Annotated[int | None, flag("Sampling steps. (default: the model's)", SIZE, metavar="N", min=1)] = (
        None
    )
    fps: Annotated[
        float | None, flag("Frame rate of the files. (default: the model's)", SIZE, metavar="FPS")
    ] = None
    schedule: Annotated[
        Literal["base", "linear_quadratic"],
        flag("base or linear_quadratic.", SIZE, metavar="NAME", show_default=True),
    ] = "base"
    shift: Annotated[float | None, flag("Flow shift. (default: the base's)", SIZE, metavar="S")] = None


@dataclass(frozen=True)
class LoadFlags:
    """Flags of loading a model."""

    device: Annotated[
        str | None, flag("As cpu or cuda:1. (default: cuda if there is one)", WHERE, metavar="DEVICE")
    ] = None
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        flag("float32, bfloat16 or float16. (default: bfloat16 on a GPU)", WHERE, metavar="TYPE"),
    ] = None
    offload: Annotated[
        bool, flag("Keep what doesn't run on the CPU: less GPU memory.", WHERE, "--offload")
    ] = False
    revision: Annotated[
        str | None, flag("Revision of a hub id. (default: the newest)", WHERE, metavar="REV")
    ] = None

    def load(self, model: str, device: str) -> LoadedModel:
        """Load a model as these flags say, without the libraries' own words.

        Args:
            model: Folder, hub id or shipped name.
            device: Where; `start` chose it.
        """
        from videojam.models.load import load_model, quiet_loading

        quiet_loading()
        return load_model(
            model,
            torch_dtype=torch_dtype_of(self.dtype),
            device=device,
            offload=self.offload,
            revision=self.revision,
        )
