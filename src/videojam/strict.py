"""The base of every config, and the types of fields that several of them share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from videojam.limits import MAX_FPS, MAX_SEED, MIN_FPS

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
FrameRate = Annotated[float, Field(ge=MIN_FPS, le=MAX_FPS)]


class Strict(BaseModel):
    """A config whose values never change; an unknown key, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
