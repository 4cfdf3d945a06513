"""The base of every config, and the ranges that several of them share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_SEED = 2**63 - 1
"""The largest seed; torch takes what is added to it for the clips that follow."""
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
MIN_FPS, MAX_FPS = 0.01, 1000.0
"""Files keep a rate as a fraction whose denominator is at most 1,001."""
FrameRate = Annotated[float, Field(ge=MIN_FPS, le=MAX_FPS)]


class Strict(BaseModel):
    """A config whose values never change; an unknown key, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
