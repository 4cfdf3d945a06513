"""Following a flow, on values that can be worked out by hand."""

from __future__ import annotations

import torch

from videojam.motion.warp import follow


def test_what_moved_comes_back_and_halves_are_interpolated():
    after = torch.arange(20.0).view(1, 1, 4, 5)  # value = 5·row + column
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0], flow[:, 1] = 1, 0.5
    expected = after[..., :3, :4] + 1 + 2.5
    torch.testing.assert_close(follow(after, flow)[..., :3, :4], expected)


def test_beyond_the_edge_its_value_is_repeated():
    after = torch.arange(5.0).view(1, 1, 1, 5)
    flow = torch.zeros(1, 2, 1, 5)
    flow[:, 0] = 100
    torch.testing.assert_close(follow(after, flow), torch.full((1, 1, 1, 5), 4.0))
