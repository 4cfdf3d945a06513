"""Following a flow: what lies where each pixel goes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def follow(
    after: Float[Tensor, "pairs c h w"], flow: Float[Tensor, "pairs 2 h w"]
) -> Float[Tensor, "pairs c h w"]:
    """Return `after(p + flow(p))` at each pixel p: bilinear, and the edge's value beyond the edge.

    Args:
        after: Anything on the grid of the next frame.
        flow: (u, v) in px/frame from this frame to the next.
    """
    height, width = flow.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x = (columns + flow[:, 0]) * 2 / max(width - 1, 1) - 1
    y = (rows + flow[:, 1]) * 2 / max(height - 1, 1) - 1
    return torch.nn.functional.grid_sample(
        after, torch.stack([x, y], dim=-1), padding_mode="border", align_corners=True
    )
