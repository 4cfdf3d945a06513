"""Every lawful motion of the world as one table: where each cell of the mover is in each frame.

A *cell* is one pixel of a mover. A scene says in which pixel each cell shows in each frame, how it moves to the
next one, and whether something stands in front of it. All that drawing and judging need is in the table, so a
new kind of motion is a function that returns one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from videojam.world.grid.config import GridConfig, Kind

DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))
"""(x, y): right, left, down, up."""


@dataclass(frozen=True)
class Scenes:
    """K lawful motions of F frames and P cells.

    Attributes:
        place: Pixel of each cell, y·W + x, `[K, F, P]`.
        hidden: Cells with something in front of them.
        velocity: Displacement (u, v) of each cell to the next frame, px.
        kind: Index into the config's kinds, `[K]`.
        speed: Index into the config's speeds, `[K]`.
    """

    place: Int[Tensor, "k f p"]
    hidden: Bool[Tensor, "k f p"]
    velocity: Float[Tensor, "k f p 2"]
    kind: Int[Tensor, " k"]
    speed: Int[Tensor, " k"]

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, rows: Tensor) -> Scenes:
        return Scenes(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device | str) -> Scenes:
        """Move to a device."""
        return Scenes(*(getattr(self, field.name).to(device) for field in fields(self)))

    def distinct(self) -> Scenes:
        """Return the scenes that differ in what is seen; the first of each that don't."""
        seen = self.place.masked_fill(self.hidden, -1).flatten(1)
        _, group = torch.unique(seen, dim=0, return_inverse=True)
        first = torch.full((int(group.max()) + 1,), len(self))
        first = first.scatter_reduce(0, group, torch.arange(len(self)), "amin")
        return self[first.sort().values]


def lawful_scenes(config: GridConfig) -> Scenes:
    """Return every lawful scene of a world, on the CPU; drawing one at random takes each equally often."""
    tables = [KIND_SCENES[kind](config, index) for index, kind in enumerate(config.kinds)]
    return Scenes(*(torch.cat([getattr(table, f.name) for table in tables]) for f in fields(Scenes)))


def bounce(config: GridConfig, kind: int) -> Scenes:
    """A square slides along a row or a column and turns back when its next step would leave the frame."""
    room, num_steps = config.size_px - config.mover_px, config.num_frames + 1
    starts = torch.cartesian_prod(torch.arange(room + 1), torch.arange(room + 1))
    positions, speeds = [], []
    for index, speed in enumerate(config.speeds):
        for direction in DIRECTIONS:
            velocity = speed * torch.tensor(direction).expand(len(starts), 2)
            positions.append(_bounced(starts, velocity, room, num_steps))
            speeds.append(torch.full((len(starts),), index))
    corner = torch.cat(positions)
    steps = corner[:, 1:] - corner[:, :-1]
    cell = torch.cartesian_prod(torch.arange(config.mover_px), torch.arange(config.mover_px)).flip(1)
    pixels = corner[:, :-1, None] + cell
    place = pixels[..., 1] * config.size_px + pixels[..., 0]
    return Scenes(
        place=place,
        hidden=torch.zeros_like(place, dtype=torch.bool),
        velocity=steps[:, :, None].expand(-1, -1, len(cell), -1).float(),
        kind=torch.full((len(place),), kind),
        speed=torch.cat(speeds),
    )


def _bounced(
    start: Int[Tensor, "k 2"], velocity: Int[Tensor, "k 2"], room: int, num_steps: int
) -> Int[Tensor, "k num_steps 2"]:
    """Integrate positions in 0..room; a component that would leave is reversed before its step."""
    position, path = start, [start]
    for _ in range(num_steps - 1):
        ahead = position + velocity
        velocity = torch.where((ahead < 0) | (ahead > room), -velocity, velocity)
        position = position + velocity
        path.append(position)
    return torch.stack(path, dim=1)


KIND_SCENES: dict[Kind, Callable[[GridConfig, int], Scenes]] = {"bounce": bounce}
