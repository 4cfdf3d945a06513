"""A small bench of real parts: a base and its joint model, four world prompts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from videojam.bench.folder import Bench
from videojam.bench.make.suites import Suite, load_suite
from videojam.joint.convert import convert
from videojam.models.record import RECORD_NAME, SamplingDefaults, save_defaults


@pytest.fixture(scope="session")
def four_prompts() -> Suite:
    """Two of each of two captions of the world suite."""
    prompts = load_suite("world").prompts
    return Suite(name="world", version=2, prompts=(*prompts[:2], *prompts[4:6]))


@pytest.fixture(scope="session")
def joint_wan(tiny_wan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The joint model of the tiny base, freshly converted."""
    return convert(tiny_wan, tmp_path_factory.mktemp("bench") / "joint")


@pytest.fixture
def bench(four_prompts: Suite, tmp_path: Path) -> Bench:
    """An empty bench."""
    return Bench.create(tmp_path / "bench", four_prompts)


@pytest.fixture(scope="session")
def demo_models(tiny_wan: Path, joint_wan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base/` whole, `control/` and `videojam/` with their transformer and record alone, as the shipped ones are."""
    models = tmp_path_factory.mktemp("demo") / "models"
    shutil.copytree(tiny_wan, models / "base")
    save_defaults(SamplingDefaults(num_frames=5, height=64, width=64, fps=4.0), models / "base")
    shutil.copytree(tiny_wan / "transformer", models / "control" / "transformer")
    shutil.copytree(joint_wan / "transformer", models / "videojam" / "transformer")
    shutil.copy(joint_wan / RECORD_NAME, models / "videojam")
    for name in ("control", "videojam"):
        save_defaults(SamplingDefaults(num_frames=5, height=64, width=64, fps=4.0), models / name)
    return models
