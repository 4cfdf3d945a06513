"""The judge, from local weights of all six parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.optical_flow import raft_large
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, ViTConfig, ViTModel

from videojam.errors import VideoJamError
from videojam.evaluation.judge import Judge, missing
from videojam.evaluation.vbench.judge import FREE, VBenchJudge
from videojam.evaluation.vbench.weights import VBenchParts

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("parts")
    ViTModel(ViTConfig(**SIZES), add_pooling_layer=False).save_pretrained(folder / "dino")
    CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, projection_dim=8)).save_pretrained(
        folder / "clip"
    )
    save_file({"weight": torch.randn(1, 8), "bias": torch.tensor([5.0])}, folder / "head.safetensors")
    save_file(raft_large(weights=None).state_dict(), folder / "raft.safetensors")
    return VBenchParts(
        dino=str(folder / "dino"),
        clip_background=str(folder / "clip"),
        clip_aesthetic=str(folder / "clip"),
        aesthetic_head=folder / "head.safetensors",
        raft=str(folder / "raft.safetensors"),
    )


def clip_of_noise(t, height, width):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (t, 3, height, width), np.uint8))


def test_scores_a_clip_with_every_free_dimension(parts):
    judge = VBenchJudge(parts=parts)
    assert isinstance(judge, Judge)
    names = [measure.name for measure in judge.measures]
    assert set(names) == set(FREE)  # neither aggregate has all of its dimensions
    scores = judge.score(clip_of_noise(3, 128, 136), 8.0, "a prompt")
    assert list(scores) == names
    assert 0.3 < scores["aesthetic_quality"] < 0.7  # of a random head, which differs by torch
    assert 0 < scores["subject_consistency"] < 1
    assert scores["dynamic_degree"] in (0.0, 1.0)


def test_what_cannot_be_measured_is_nan_with_its_reason_and_the_rest_is_there(parts):
    judge = VBenchJudge(parts=parts)
    scores = judge.score(clip_of_noise(3, 48, 48), 8, "")
    assert math.isnan(scores["dynamic_degree"])
    assert missing(scores, judge) == {
        "dynamic_degree": "48×48 (expected frames of 121 px or more on each side)"
    }
    assert 0 < scores["background_consistency"] < 1


def test_other_weights_make_another_judge(parts):
    judges = [
        VBenchJudge(("background_consistency",), parts),
        VBenchJudge(("background_consistency",), parts.model_copy(update={"raft": "C_T_SKHT_V2"})),
    ]
    assert len({judge.name for judge in judges}) == 2
    assert all(judge.name.startswith("vbench-") for judge in judges)


def test_missing_parts_are_told_before_any_clip(parts, tmp_path):
    with pytest.raises(VideoJamError, match="amt_code"):
        VBenchJudge(("motion_smoothness",), parts)
    with pytest.raises(VideoJamError, match="pyiqa"):
        VBenchJudge(("imaging_quality",), parts)
    with pytest.raises(VideoJamError, match="colour"):
        VBenchJudge(("colour",), parts)
    missing = parts.model_copy(update={"aesthetic_head": tmp_path / "head.pth"})
    with pytest.raises(VideoJamError, match="no such file"):
        VBenchJudge(("aesthetic_quality",), missing)
