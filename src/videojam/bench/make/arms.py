"""Arms: a model with its guidance, as a user writes it on the command line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from videojam.errors import VideoJamError
from videojam.guidance.config import GuidanceConfig
from videojam.guidance.window import parse_window

TRUTH = "world:truth"
"""Source of the arm that draws the world's own clips."""


class ArmSpec(BaseModel):
    """What one arm asks for; everything that isn't given comes from the model folder, then from the pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Folder name and label of the arm."
    )
    source: str = Field(min_length=1, description="Pipeline folder, hub id, tiny:NAME or world:truth.")
    pipeline: Literal["auto", "stock"] = Field(
        "auto", description="stock: call the diffusers pipeline as it is, also where its family is known."
    )
    mode: Literal["inner", "cfg", "ip2p", "none"] | None = Field(None, description="Guidance.")
    w_text: float | None = Field(None, ge=0, description="w1; a stock guidance_scale is 1 + w1.")
    w_motion: float | None = Field(None, ge=0, description="w2.")
    window: str | None = Field(None, description="When motion guides: all, half, steps:0-50, t:0-0.4.")
    motion_on: Literal["both", "appearance"] | None = Field(None, description="What w2 guides.")
    drop_motion: bool | None = Field(None, description="No optical flow in any forward.")
    reuse_every: int | None = Field(None, ge=1, description="Compute guidance on every n-th step only.")
    steps: int | None = Field(None, ge=1, description="Sampling steps.")
    frames: int | None = Field(None, ge=1, description="Frames of a clip.")
    height: int | None = Field(None, ge=1, description="In px.")
    width: int | None = Field(None, ge=1, description="In px.")
    fps: float | None = Field(None, gt=0, description="Frame rate of the files.")
    negative_prompt: str | None = Field(None, description="Null text.")
    schedule: Literal["base", "linear_quadratic"] = Field("base", description="Schedule of the steps.")
    shift: float | None = Field(None, description="Flow shift.")
    revision: str | None = Field(None, description="Revision of a hub id.")

    def guidance(self, default: GuidanceConfig) -> GuidanceConfig:
        """Return a model's default guidance with what this arm asks for in its place.

        Raises:
            VideoJamError: a combination that has no meaning, or an unreadable window.
        """
        given = {
            name: value
            for name in ("mode", "w_text", "w_motion", "motion_on", "drop_motion", "reuse_every")
            if (value := getattr(self, name)) is not None
        }
        if self.window is not None:
            given["window"] = parse_window(self.window)
        if given.get("drop_motion") and "mode" not in given:
            given["mode"] = "cfg"  # without motion there is none to be guided by
        try:
            return GuidanceConfig(**{**default.model_dump(), **given})
        except ValidationError as error:
            raise _unfit(self.name, error.errors()[0]["msg"]) from None


def parse_arm(text: str) -> ArmSpec:
    """Read an arm: `SOURCE` or `NAME=SOURCE`, then `,key=value` for any field of `ArmSpec`.

    Raises:
        VideoJamError: an unknown key or a value that doesn't fit.
    """
    head, *options = text.split(",")
    name, equals, source = head.partition("=")
    if not equals:
        name, source = default_name(head), head
    fields: dict[str, Any] = {"name": name.strip(), "source": source.strip()}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or key.strip() in fields:
            raise _unfit(text, f"{option!r}")
        fields[key.strip()] = value.strip()
    try:
        return ArmSpec(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise _unfit(
            text, f"{'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}"
        ) from None


def parse_arms(texts: Sequence[str]) -> list[ArmSpec]:
    """Read arms and check that no two share a name.

    Raises:
        VideoJamError: as `parse_arm`; a name used twice.
    """
    arms = [parse_arm(text) for text in texts]
    for name, count in Counter(arm.name for arm in arms).items():
        if count > 1:
            raise VideoJamError(
                expected="another name for each arm",
                found=f"{name!r} {count} times",
                where="the models of the bench",
                fix="Write NAME=MODEL, as: fast=path/to/model,steps=10 slow=path/to/model,steps=50",
            )
    return arms


def default_name(source: str) -> str:
    """Return an arm's name from its model: the last part of a path or hub id, `tiny:base` as tiny-base."""
    last = source.rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "model"


def _unfit(where: str, found: str) -> VideoJamError:
    return VideoJamError(
        expected=f"NAME=MODEL,key=value with keys {', '.join(ArmSpec.model_fields)}",
        found=found,
        where=f"arm {where!r}",
        fix="See docs/bench.md; quote the argument if a value has spaces.",
    )
