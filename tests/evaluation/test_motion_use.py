"""Whether motion is used, on cases where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videojam.data.config import DataConfig, WorldSource
from videojam.data.encode import prepare
from videojam.evaluation.motion_use import appearance_losses_by_motion, warp_errors
from videojam.models.load import load_model
from videojam.motion.code import MotionCode
from videojam.world import WorldConfig, sample_clip


@pytest.mark.parametrize("kind", ["wheel", "gait", "collision"])
def test_exact_flow_explains_a_clip_better_than_zero_flow_and_the_opposite_flow_worse(kind):
    clip = sample_clip(3, WorldConfig(), kind)
    with_flow, with_none = warp_errors(clip.video, clip.flow)
    opposite, _ = warp_errors(clip.video, -clip.flow)
    assert with_flow < 0.85 * with_none  # not 0: what a part uncovers has no flow that explains it
    assert opposite > with_none


def test_zero_flow_and_a_still_clip():
    clip = sample_clip(4, WorldConfig())
    zero = torch.zeros_like(clip.flow)
    with_zero, with_none = warp_errors(clip.video, zero)
    assert with_zero == pytest.approx(with_none, rel=1e-4)
    assert warp_errors(clip.video[:1].repeat(5, 1, 1, 1), zero[:4]) == (0.0, 0.0)


def test_a_model_that_ignores_motion_has_equal_losses_and_one_that_copies_it_has_not(tiny_joints, tmp_path):
    model = load_model(tiny_joints["t2v"])
    code = MotionCode(estimator="exact", scale=0.06)
    source = WorldSource(num_clips=3, world=WorldConfig(num_frames=9, height=32, width=32))
    data = prepare(
        model, DataConfig(source=source, cache=tmp_path, num_heldout=1, max_sequence_length=16), code
    )
    fresh = appearance_losses_by_motion(model, data.clips, data.null_text, t=0.5)
    np.testing.assert_array_equal(fresh["true"], fresh["null"])  # zero columns: identity 1
    np.testing.assert_array_equal(fresh["true"], fresh["other"])
    projection = model.pipeline.transformer.patch_embedding
    with torch.no_grad():
        projection.weight[:, 4:].normal_()
    mixed = appearance_losses_by_motion(model, data.clips, data.null_text, t=0.5)
    np.testing.assert_array_equal(mixed["null"], fresh["null"])
    assert (mixed["true"] != mixed["null"]).all()
    assert (mixed["true"] != mixed["other"]).all()
    assert len(mixed["true"]) == 3
