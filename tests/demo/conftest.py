"""A demo of random pipelines, in the layout of the shipped ones: what is shared is stored once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from videojam.demo import DemoResult, run_demo
from videojam.joint.convert import convert
from videojam.models.record import RECORD_NAME


@pytest.fixture(scope="session")
def demo_models(tiny_wan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base/` whole, `control/` and `videojam/` with their transformer and record alone."""
    models = tmp_path_factory.mktemp("demo") / "models"
    shutil.copytree(tiny_wan, models / "base")
    joint = convert(tiny_wan, models.parent / "joint")
    shutil.copytree(tiny_wan / "transformer", models / "control" / "transformer")
    shutil.copytree(joint / "transformer", models / "videojam" / "transformer")
    shutil.copy(joint / RECORD_NAME, models / "videojam")
    return models


@pytest.fixture(scope="session")
def demo_result(demo_models: Path, tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    """The smallest demo: one prompt a kind, two steps."""
    return run_demo(
        tmp_path_factory.mktemp("demo") / "out", clips_per_kind=1, num_steps=2, models=demo_models
    )
