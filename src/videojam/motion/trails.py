"""Points that are carried by a flow: where each one is in every frame until it leaves the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass
class Way:
    """The way of one point.

    Attributes:
        first: Frame in which it begins.
        places: [frames, 2]: (x, y) in px in that frame and each one after it.
    """

    first: int
    places: np.ndarray


def follow_points(flow: Float[Tensor, "flows 2 h w"], spacing_px: int, every: int) -> list[Way]:
    """Follow points through a clip: x(i+1) = x(i) + flow_i(x(i)), with bilinear sampling.

    Points begin on a grid in the first frame; every few frames new ones begin in cells of the grid that hold none.

    Args:
        flow: T-1 flows in px/frame; flow i goes from frame i to frame i+1.
        spacing_px: Of the grid.
        every: Frames between two looks for empty cells.

    Returns:
        Ways; one ends in the last frame, or in the frame in which its point has left the picture.
    """
    height, width = flow.shape[-2:]
    size = np.array([width, height])
    done: list[Way] = []
    alive: list[Way] = []
    for frame in range(len(flow)):
        if frame % every == 0:
            alive += _begin(alive, frame, size, spacing_px)
        if not alive:
            continue
        places = np.stack([way.places[-1] for way in alive])
        after = places + _sample(flow[frame], places)
        inside = ((after >= 0) & (after <= size - 1)).all(axis=1)
        for way, place in zip(alive, after, strict=True):
            way.places = np.concatenate([way.places, place[None]])
        done += [way for way, is_in in zip(alive, inside, strict=True) if not is_in]
        alive = [way for way, is_in in zip(alive, inside, strict=True) if is_in]
    return done + alive


def _begin(alive: list[Way], frame: int, size: np.ndarray, spacing: int) -> list[Way]:
    """Return new points in the middle of cells that hold none."""
    taken = {tuple((way.places[-1] // spacing).astype(int)) for way in alive}
    columns, rows = -(-size // spacing)
    new = []
    for row in range(rows):
        for column in range(columns):
            middle = np.minimum((np.array([column, row]) + 0.5) * spacing, size - 1.0)
            if (column, row) not in taken:
                new.append(Way(frame, middle[None]))
    return new


def _sample(flow: Tensor, places: np.ndarray) -> np.ndarray:
    """Return the flow [2, H, W] at places [n, 2], bilinear: [n, 2]."""
    height, width = flow.shape[-2:]
    scale = torch.tensor([max(width - 1, 1), max(height - 1, 1)], dtype=torch.float64)
    grid = torch.from_numpy(places) * 2 / scale - 1
    found = torch.nn.functional.grid_sample(
        flow[None].double(), grid[None, None], padding_mode="border", align_corners=True
    )
    return found[0, :, 0].T.numpy()
