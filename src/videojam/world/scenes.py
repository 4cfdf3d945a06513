"""Every lawful motion of the world as one table: where each cell of the mover is in each frame.

A *cell* is one pixel of a mover. A scene says in which pixel each cell shows in each frame, how it moves to the
next one, and whether something stands in front of it. All that drawing and judging need is in the table, so a
new kind of motion is a function that returns one (`videojam.world.kinds`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Scenes:
    """K lawful motions of F frames, P cells and Q = H·W pixels.

    Attributes:
        place: Pixel of each cell, y·W + x, `[K, F, P]`.
        hidden: Cells with something in front of them. A scene with fewer cells than P hides the others always.
        velocity: Displacement (u, v) of each cell to the next frame, px.
        sign: 1 where a cell has the caption's tint, -1 where it has the other one, `[K, P]`.
        front: Pixels of a static pillar, in front of which no mover shows, `[K, Q]`.
        kind: Index into the config's kinds, `[K]`.
        speed: Index into the config's speeds, `[K]`.
    """

    place: Int[Tensor, "k f p"]
    hidden: Bool[Tensor, "k f p"]
    velocity: Float[Tensor, "k f p 2"]
    sign: Float[Tensor, "k p"]
    front: Bool[Tensor, "k q"]
    kind: Int[Tensor, " k"]
    speed: Int[Tensor, " k"]

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, rows: Tensor) -> Scenes:
        return Scenes(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device | str) -> Scenes:
        """Move to a device."""
        return Scenes(*(getattr(self, field.name).to(device) for field in fields(self)))

    @property
    def num_pixels(self) -> int:
        """Q, pixels of a frame."""
        return self.front.shape[1]

    def shown(self, rows: Tensor | slice = slice(None)) -> Int[Tensor, "n f p"]:
        """Return the pixel in which each cell of some scenes shows; Q, one past the last, if it is hidden."""
        return self.place[rows].masked_fill(self.hidden[rows], self.num_pixels)

    def in_order(self, frames: Sequence[int]) -> Scenes:
        """Return the scenes with their frames in another order; the last frame's velocity is 0."""
        place, size = self.place[:, list(frames)], math.isqrt(self.num_pixels)
        steps = torch.stack([place % size, place // size], dim=3).diff(dim=1).float()
        velocity = torch.cat([steps, torch.zeros_like(steps[:, :1])], dim=1)
        return replace(self, place=place, hidden=self.hidden[:, list(frames)], velocity=velocity)

    def covered(self) -> Bool[Tensor, "k f q"]:
        """Return the pixels in which a mover shows."""
        shape = *self.place.shape[:2], self.num_pixels + 1
        frames = torch.zeros(shape, dtype=torch.bool, device=self.place.device)
        return frames.scatter_(2, self.shown(), True)[..., :-1]

    def distinct(self) -> Scenes:
        """Return the scenes that differ in what is seen; the first of each that don't."""
        signed = (2 * self.shown() + (self.sign < 0)[:, None]).masked_fill(self.hidden, -1)
        seen = torch.cat([signed.flatten(1), self.front.long()], dim=1)
        _, group = torch.unique(seen, dim=0, return_inverse=True)
        first = torch.full((int(group.max()) + 1,), len(self))
        first = first.scatter_reduce(0, group, torch.arange(len(self)), "amin")
        return self[first.sort().values]


def joined(tables: list[Scenes]) -> Scenes:
    """Return one table of several; scenes with fewer cells get cells that are always hidden."""
    most = max(table.place.shape[2] for table in tables)
    padded = [_padded(table, most - table.place.shape[2]) for table in tables]
    return Scenes(*(torch.cat([getattr(table, f.name) for table in padded]) for f in fields(Scenes)))


def _padded(scenes: Scenes, num_cells: int) -> Scenes:
    cells = (0, num_cells)
    return replace(
        scenes,
        place=functional.pad(scenes.place, cells),
        hidden=functional.pad(scenes.hidden, cells, value=True),
        velocity=functional.pad(scenes.velocity, (0, 0, *cells)),
        sign=functional.pad(scenes.sign, cells, value=1.0),
    )
