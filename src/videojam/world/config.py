"""What a world clip looks like: size, length, texture and clutter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from videojam.strict import Strict

Kind = Literal["gait", "chain", "ball", "wheel", "collision"]
KINDS: tuple[Kind, ...] = ("gait", "chain", "ball", "wheel", "collision")


class WorldConfig(Strict):
    """Parameters of the procedural world; version 1 is 25 frames of 64×64 at 12 fps."""

    num_frames: int = Field(
        default=25, ge=9, description="frames of a clip; 4k+1 suits causal video autoencoders"
    )
    height: int = Field(default=64, ge=32, description="height in pixels; shapes scale with the shorter side")
    width: int = Field(default=64, ge=32, description="width in pixels; shapes scale with the shorter side")
    fps: float = Field(default=12.0, gt=0, description="frames per second written into mp4 files")
    texture: float = Field(
        default=0.25, ge=0, le=1, description="static background: 0 smooth, 1 per-pixel grain"
    )
    clutter: int = Field(
        default=0, ge=0, le=64, description="number of static, desaturated distractor shapes"
    )
    kinds: tuple[Kind, ...] = Field(default=KINDS, min_length=1, description="kinds of scene to draw from")
