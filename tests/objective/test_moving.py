"""The second control: the appearance error weighted by motion, from its formula to a run."""

from __future__ import annotations

import pytest
import torch

from videojam.errors import VideoJamError
from videojam.objective.loss import half_losses
from videojam.objective.moving import MovingWeight
from videojam.training.recipe import load_recipe


def test_the_weight_is_the_factor_where_a_clip_moves_most_and_1_where_it_is_still():
    still = torch.full((1, 4, 1, 1, 3), 2.0)
    d = still.repeat(2, 1, 1, 1, 1)
    d[0, 0, 0, 0, 1] += 3.0  # ‖(3, 4)‖ = 5
    d[0, 1, 0, 0, 1] -= 4.0
    d[0, 2, 0, 0, 2] += 2.5  # half of it
    weight = MovingWeight(9.0, still).of(d)
    torch.testing.assert_close(weight[:, 0, 0, 0], torch.tensor([[1.0, 9.0, 5.0], [1.0, 1.0, 1.0]]))
    (loss,) = half_losses(torch.zeros_like(d), torch.ones_like(d), 1, weight=weight)
    torch.testing.assert_close(loss, torch.tensor([5.0, 1.0]))  # (1 + 9 + 5) / 3
    (plain,) = half_losses(torch.zeros_like(d), torch.ones_like(d), 1)
    assert torch.equal(plain, torch.ones(2))


def test_it_is_refused_for_a_joint_fine_tune(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "base: b\nout: o\nnum_steps: 1\ndata: {source: {kind: world, num_clips: 2}}\nobjective: {moving_weight: 3.0}\n"
    )
    with pytest.raises(VideoJamError, match=r"objective\.moving_weight 3 .*method: plain"):
        load_recipe(recipe, [])
    assert load_recipe(recipe, ["method=plain"]).objective.moving_weight == 3
