"""The kinds of motion: each is a function that returns its lawful scenes as a table.

Positions are integers, and a kind's law says where everything is in the next frame. Directions are (x, y).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.world.config import Kind, WorldConfig
from videojam.world.scenes import Scenes, joined

SIDEWAYS = ((1, 0), (-1, 0))
DIRECTIONS = (*SIDEWAYS, (0, 1), (0, -1))
"""Right, left, down, up."""

FEET = ((1, -1), (0, 0), (-1, 1), (0, 0))
"""Near and far foot in front of a walker's middle, px: one pose a frame, in turn."""
BODY = (-1, 0, 1)

RING = ((0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1))
"""Pixels around a rotor's hub, clockwise; its hand covers three in turn."""
HAND = (0, 1, 2)


@cache
def lawful_scenes(config: WorldConfig) -> Scenes:
    """Return every lawful scene of a world, on the CPU, each as often as it is drawn.

    Scenes of a kind that has few of them stand there several times, so that kinds are about equally frequent.

    Raises:
        VideoJamError: A kind has no lawful scene in so small or so short a clip.
    """
    tables = [KIND_SCENES[kind](config, index) for index, kind in enumerate(config.kinds)]
    for kind, table in zip(config.kinds, tables, strict=True):
        if not len(table):
            raise VideoJamError(
                expected=f"a world in which the kind {kind!r} has a lawful scene",
                found=f"{config.num_frames} frames of {config.size_px} px, with a mover of {config.mover_px} px",
                where="the world",
                fix=f"Take more frames (num_frames) or a larger frame (size_px), or leave {kind!r} out of kinds.",
            )
    most = max(map(len, tables))
    return joined([table[torch.arange(len(table)).repeat(round(most / len(table)))] for table in tables])


@cache
def distinct_scenes(config: WorldConfig) -> Scenes:
    """Return the lawful scenes of a world that differ in what is seen; the judge compares a clip with each."""
    return lawful_scenes(config).distinct()


def bounce(config: WorldConfig, kind: int) -> Scenes:
    """A square slides along a row or a column and turns back when its next step would leave the frame."""
    corner, speed = _sliding(config, DIRECTIONS, (config.mover_px, config.mover_px))
    return _scenes(config, kind, speed, corner[:, :, None] + _square(config))


def pillar(config: WorldConfig, kind: int) -> Scenes:
    """A square slides along a row, behind a pillar as wide as itself, and comes out on the other side."""
    width, pixels = config.mover_px, torch.arange(config.size_px**2) % config.size_px
    corner, speed = _sliding(config, SIDEWAYS, (width, width))
    tables = []
    for left in range(config.size_px - width + 1):
        x = corner[:, :-1, :1]
        from_left = x[:, 0] + width <= left
        clear = torch.where(from_left[..., None], x >= left + width, x + width <= left)
        passes = (from_left | (x[:, 0] >= left + width)) & clear.any(1)
        is_front = (pixels >= left) & (pixels < left + width)
        cells = corner[:, :, None] + _square(config)
        hidden = is_front[_pixel(config, cells)]
        rows = passes[:, 0] & hidden[:, :-1].any(2).any(1)
        table = _scenes(config, kind, speed[rows], cells[rows], hidden[rows], front=is_front)
        tables.append(table)
    return joined(tables)


def exchange(config: WorldConfig, kind: int) -> Scenes:
    """Two squares on a row or a column, of opposite tints, come together and exchange velocities.

    They do so instead of a step that would make them overlap. Either may be the faster; the caption's tint is
    that of the left or upper one.
    """
    width, room = config.mover_px, config.size_px - config.mover_px
    paths, speeds = [], []
    for index, fast in enumerate(config.speeds):
        for first, second in sorted({(fast, config.speeds[0]), (config.speeds[0], fast)}):
            starts = torch.combinations(torch.arange(room + 1), 2)
            starts = starts[starts.diff(dim=1)[:, 0] >= width]
            along, lawful = _exchanged(starts, (first, -second), width, room, config.num_frames + 1)
            paths.append(along[lawful])
            speeds.append(torch.full((int(lawful.sum()),), index))
    along, speed = torch.cat(paths), torch.cat(speeds)
    tables = []
    for across, is_row in product(range(room + 1), (True, False)):
        lane = torch.full_like(along, across)
        corner = torch.stack([along, lane] if is_row else [lane, along], dim=3)
        cells = (corner[..., None, :] + _square(config)).flatten(2, 3)
        tables.append(_scenes(config, kind, speed, cells, other=range(width**2, 2 * width**2)))
    return joined(tables)


def walker(config: WorldConfig, kind: int) -> Scenes:
    """A body on two feet of opposite tints that step in turn; it turns back when it would leave the frame."""
    tables = []
    corner, speed = _sliding(config, SIDEWAYS, (len(BODY), 2))
    facing = corner.diff(dim=1)[..., :1].sign()
    facing, middle = torch.cat([facing, facing[:, -1:]], dim=1), corner + torch.tensor((1, 0))
    for first in (0, 2):
        poses = torch.tensor([FEET[(first + frame) % len(FEET)] for frame in range(corner.shape[1])])
        feet = torch.stack([facing * poses, torch.ones_like(facing).expand(-1, -1, 2)], dim=3)
        body = torch.tensor([(x, 0) for x in BODY])
        cells = middle[:, :, None] + torch.cat([feet, body.expand(*feet.shape[:2], -1, -1)], dim=2)
        hidden = torch.zeros(cells.shape[:3], dtype=torch.bool)
        hidden[..., 1] = (cells[..., 0, :] == cells[..., 1, :]).all(-1)  # the far foot is behind the near one
        tables.append(_scenes(config, kind, speed, cells, hidden, other=(1,)))
    return joined(tables)


def rotor(config: WorldConfig, kind: int) -> Scenes:
    """A hand turns about a hub that stays, clockwise or not, by as many pixels of the ring as its speed is."""
    inner = torch.arange(1, config.size_px - 1)
    hub = torch.cartesian_prod(inner, inner)[:, None, None]
    frame, ring = torch.arange(config.num_frames + 1), torch.tensor(RING)
    tables = []
    for (index, speed), turn, first in product(enumerate(config.speeds), (1, -1), range(0, len(RING), 2)):
        at = (first + turn * speed * frame[:, None] + torch.tensor(HAND)) % len(RING)
        offsets = torch.cat([torch.zeros(len(frame), 1, 2, dtype=torch.long), ring[at]], dim=1)
        tables.append(_scenes(config, kind, torch.full((len(hub),), index), hub + offsets))
    return joined(tables)


KIND_SCENES: dict[Kind, Callable[[WorldConfig, int], Scenes]] = {
    "bounce": bounce,
    "pillar": pillar,
    "exchange": exchange,
    "walker": walker,
    "rotor": rotor,
}


def _scenes(
    config: WorldConfig,
    kind: int,
    speed: Int[Tensor, " k"],
    cells: Int[Tensor, "k f_and_1 p 2"],
    hidden: Bool[Tensor, "k f_and_1 p"] | None = None,
    other: range | tuple[int, ...] = (),
    front: Bool[Tensor, " q"] | None = None,
) -> Scenes:
    """Build a table from the (x, y) of each cell in each frame and one more; `other` cells have the other tint."""
    num, _, num_cells = cells.shape[:3]
    sign = torch.ones(num, num_cells)
    sign[:, list(other)] = -1
    front = torch.zeros(config.size_px**2, dtype=torch.bool) if front is None else front
    hidden = torch.zeros(cells.shape[:3], dtype=torch.bool) if hidden is None else hidden
    return Scenes(
        place=_pixel(config, cells[:, :-1]),
        hidden=hidden[:, :-1],
        velocity=cells.diff(dim=1).float(),
        sign=sign,
        front=front.expand(num, -1),
        kind=torch.full((num,), kind),
        speed=speed,
    )


def _pixel(config: WorldConfig, cells: Int[Tensor, "*n 2"]) -> Int[Tensor, "*n"]:
    return cells[..., 1] * config.size_px + cells[..., 0]


def _square(config: WorldConfig) -> Int[Tensor, "p 2"]:
    """(x, y) of a mover's cells from its top left corner, row by row."""
    return torch.cartesian_prod(torch.arange(config.mover_px), torch.arange(config.mover_px)).flip(1)


def _sliding(
    config: WorldConfig, directions: tuple[tuple[int, int], ...], box: tuple[int, int]
) -> tuple[Int[Tensor, "k f_and_1 2"], Int[Tensor, " k"]]:
    """Top left corner of a box of (width, height) that slides from every place, and the index of its speed."""
    room = torch.tensor([config.size_px - side for side in box])
    starts = torch.cartesian_prod(*(torch.arange(int(side) + 1) for side in room))
    paths, speeds = [], []
    for index, speed in enumerate(config.speeds):
        for direction in directions:
            velocity = speed * torch.tensor(direction).expand(len(starts), 2)
            paths.append(_bounced(starts, velocity, room, config.num_frames + 1))
            speeds.append(torch.full((len(starts),), index))
    return torch.cat(paths), torch.cat(speeds)


def _bounced(
    start: Int[Tensor, "k 2"], velocity: Int[Tensor, "k 2"], room: Int[Tensor, " 2"], num_steps: int
) -> Int[Tensor, "k num_steps 2"]:
    """Integrate positions in 0..room; a component that would leave is reversed before its step."""
    position, path = start, [start]
    for _ in range(num_steps - 1):
        velocity = _off_walls(position, velocity, room)
        position = position + velocity
        path.append(position)
    return torch.stack(path, dim=1)


def _exchanged(
    start: Int[Tensor, "k 2"], velocity: tuple[int, int], width: int, room: int, num_steps: int
) -> tuple[Int[Tensor, "k num_steps 2"], Bool[Tensor, " k"]]:
    """Integrate two positions on a line; also where they move before they meet, meet, and move after it."""
    position, path = start, [start]
    speeds = torch.tensor(velocity).expand_as(start)
    walls, met = torch.tensor(room), torch.zeros(len(start), num_steps - 1, dtype=torch.bool)
    for step in range(num_steps - 1):
        speeds = _off_walls(position, speeds, walls)
        met[:, step] = (position + speeds).diff(dim=1)[:, 0] < width
        speeds = _off_walls(position, torch.where(met[:, step, None], speeds.flip(1), speeds), walls)
        position = position + speeds
        path.append(position)
    paths = torch.stack(path, dim=1)
    apart = (paths.diff(dim=2)[..., 0] >= width).all(1)
    # the last of the steps leads out of the clip, and one must be seen before and after
    return paths, apart & ~met[:, 0] & met[:, 1:-1].any(1)


def _off_walls(position: Tensor, velocity: Tensor, room: Tensor) -> Tensor:
    ahead = position + velocity
    return torch.where((ahead < 0) | (ahead > room), -velocity, velocity)
