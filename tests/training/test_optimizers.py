"""Which optimizer takes which parameter."""

import pytest
import torch

from videojam.training.config import OptimizerConfig
from videojam.training.optimizers import build_optimizers


@pytest.fixture
def parameters():
    shapes = {"patch_embedding.weight": (4, 2, 1, 1, 1), "blocks.0.attn1.to_q.weight": (4, 4)}
    shapes |= {
        "blocks.0.attn1.to_q.bias": (4,),
        "blocks.0.scale_shift_table": (1, 6, 4),
        "proj_out.weight": (2, 4),
    }
    return {name: torch.nn.Parameter(torch.ones(shape)) for name, shape in shapes.items()}


def test_muon_takes_the_matrices_of_the_blocks_alone(parameters):
    muon, adam = build_optimizers(OptimizerConfig(name="muon"), parameters)
    (matrix,) = (p for group in muon.param_groups for p in group["params"])
    assert matrix is parameters["blocks.0.attn1.to_q.weight"]
    assert sum(len(group["params"]) for group in adam.param_groups) == len(parameters) - 1


def test_without_matrices_muon_leaves_all_to_adamw(parameters):
    del parameters["blocks.0.attn1.to_q.weight"]
    (only,) = build_optimizers(OptimizerConfig(name="muon"), parameters)
    assert isinstance(only, torch.optim.AdamW)
