"""Parameters of the world, and how its clips look in a file."""

from __future__ import annotations

from typing import Literal, TypedDict, get_args

from pydantic import Field, model_validator

from videojam.misfits import ContradictionError
from videojam.strict import FrameRate, Strict

Kind = Literal["bounce", "pillar", "exchange", "walker", "rotor"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MIN_FRAMES = 3


class FileSize(TypedDict):
    """Length, size and rate of a file."""

    num_frames: int
    height: int
    width: int
    fps: float


class WorldConfig(Strict):
    """A world of small clips whose motion is exact: integer positions on a pixel grid.

    Brightness is counted in *units*: 0 is mid-grey, and `UNIT_LEVELS` of 255 levels are one unit. In a file each
    pixel of the world is a block of `pixel_px` × `pixel_px`.
    """

    size_px: int = Field(8, ge=4, description="Height and width of a frame, in pixels of the world.")
    num_frames: int = Field(6, ge=MIN_FRAMES, description="Frames of a clip.")
    kinds: tuple[Kind, ...] = Field(("bounce",), min_length=1, description="Kinds of motion.")
    mover_px: int = Field(2, ge=1, description="Height and width of the square mover.")
    speeds: tuple[int, ...] = Field((1, 2), min_length=1, description="Speeds in px/frame, slowest first.")
    texture: float = Field(1.0, ge=0, description="Standard deviation of the static texture, in units.")
    mover_texture: float = Field(0.3, ge=0, description="Standard deviation of the mover's own texture.")
    offset: float = Field(
        2.0, gt=0, description="Contrast of a mover: its red is brighter or darker by this."
    )
    pixel_px: int = Field(
        8,
        ge=1,
        description="Side of a pixel of the world in a file; 8 is a block of the codec, which keeps it.",
    )
    fps: FrameRate = Field(4.0, description="Frames a second of a file.")

    @model_validator(mode="after")
    def _fits(self) -> WorldConfig:
        if self.mover_px + max(self.speeds) > self.size_px:
            raise ContradictionError(
                f"a mover of {self.mover_px} px at {max(self.speeds)} px/frame needs a frame of at least "
                f"{self.mover_px + max(self.speeds)} px",
                {"size_px": self.size_px, "mover_px": self.mover_px, "speeds": self.speeds},
            )
        for name, values in (("kind", self.kinds), ("speed", self.speeds)):
            if len(set(values)) < len(values):
                raise ContradictionError(f"each {name} once", {f"{name}s": values})
        if len(self.speeds) > len(SPEED_WORDS):
            raise ContradictionError(f"at most {len(SPEED_WORDS)} speeds", {"speeds": self.speeds})
        return self

    @property
    def side_px(self) -> int:
        """Height and width of a file."""
        return self.size_px * self.pixel_px

    @property
    def file_size(self) -> FileSize:
        """Length, size and rate of a file, by the names of a sample's settings."""
        return FileSize(num_frames=self.num_frames, height=self.side_px, width=self.side_px, fps=self.fps)


SPEED_WORDS = ("slowly", "quickly", "fast")
UNIT_LEVELS = 40
MID_LEVEL = 128
MAX_UNITS = 3.0
"""Texture is cut here, so that 8 bits hold it (±3 units are 120 levels)."""
