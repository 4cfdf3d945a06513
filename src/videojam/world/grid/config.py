"""Parameters of the pixel-grid world."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from videojam.strict import Strict

Kind = Literal["bounce", "pillar", "exchange", "walker", "rotor"]


class GridConfig(Strict):
    """A world of small clips whose motion is exact: integer positions on a pixel grid.

    Brightness is counted in *units*: 0 is mid-grey, and `UNIT_LEVELS` of 255 levels are one unit.
    """

    size_px: int = Field(8, ge=4, description="Height and width of a frame.")
    num_frames: int = Field(6, ge=3, description="Frames of a clip.")
    kinds: tuple[Kind, ...] = Field(("bounce",), min_length=1, description="Kinds of motion.")
    mover_px: int = Field(2, ge=1, description="Height and width of the square mover.")
    speeds: tuple[int, ...] = Field((1, 2), min_length=1, description="Speeds in px/frame, slowest first.")
    texture: float = Field(1.0, ge=0, description="Standard deviation of the static texture, in units.")
    mover_texture: float = Field(0.3, ge=0, description="Standard deviation of the mover's own texture.")
    offset: float = Field(
        2.0, gt=0, description="Contrast of a mover: its red is brighter or darker by this."
    )

    @model_validator(mode="after")
    def _fits(self) -> GridConfig:
        if self.mover_px + max(self.speeds) > self.size_px:
            raise ValueError(
                f"a mover of {self.mover_px} px at {max(self.speeds)} px/frame needs a frame of at least "
                f"{self.mover_px + max(self.speeds)} px, found size_px {self.size_px}"
            )
        if len(self.speeds) > len(SPEED_WORDS):
            raise ValueError(f"expected at most {len(SPEED_WORDS)} speeds, found {len(self.speeds)}")
        return self


SPEED_WORDS = ("slowly", "quickly", "fast")
UNIT_LEVELS = 40
MID_LEVEL = 128
MAX_UNITS = 3.0
"""Texture is cut here, so that 8 bits hold it (±3 units are 120 levels)."""
