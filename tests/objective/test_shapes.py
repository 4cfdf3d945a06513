"""The shapes that annotations state are checked: a prediction of another shape would broadcast in silence."""

from __future__ import annotations

import jaxtyping
import pytest
import torch

from videojam.objective.loss import half_losses


def test_a_prediction_of_another_shape_than_its_target_is_refused():
    target = torch.zeros(2, 4, 3, 2, 2)
    assert len(half_losses(target, target, 2)) == 2
    with pytest.raises(jaxtyping.TypeCheckError, match="target"):
        half_losses(target, target[..., :1], 2)
