"""Shared fixtures; array shapes and types of the package are checked at run time in tests only."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads stall a shared machine
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from importlib.util import find_spec
from pathlib import Path

from jaxtyping import install_import_hook


def with_arrays():
    """Names of the package's modules that annotate arrays; the others' types are mypy's to check."""
    folder = Path(find_spec("videojam").origin).parent
    files = [file for file in folder.rglob("*.py") if "jaxtyping" in file.read_text(encoding="utf-8")]
    return [".".join(file.relative_to(folder.parent).with_suffix("").parts) for file in files]


install_import_hook(with_arrays(), "beartype.beartype")

import gc  # noqa: E402
import importlib.util  # noqa: E402
import sys  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402


def _load(name: str, file: str):
    """Make a file beside this one importable; the tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tiny = _load("tiny_pipelines", "tiny.py")
_load("tiny_families", "tiny_families.py")
_load("exactness", "exactness.py")
_load("moving_clips", "moving_clips.py")
warm = _load("warm", "warm.py")
_load("odd_files", "data/odd_files.py")
_load("video_files", "motion/video_files.py")
_load("family_kinds", "families/kinds.py")
_load("bench_browser", "bench/browser.py")

torch.set_num_threads(1)


LONGEST = ("families", "training", "app", "test_premise_stages.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Begin with the rooms whose files take longest, so that workers, which take a file at a time, end together."""
    items.sort(key=lambda item: item.path.relative_to(Path(__file__).parent).parts[0] not in LONGEST)


def pytest_collection_finish():
    """Leave modules and classes, which stay, out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory):
    """Runs code in processes that have imported diffusers and nothing of this package."""
    python = warm.WarmPython(tmp_path_factory.mktemp("warm"))
    yield python
    python.close()


@pytest.fixture(scope="session")
def tiny_wan(tmp_path_factory):
    """A tiny random text-to-video WanPipeline folder."""
    return tiny.write_tiny_wan(tmp_path_factory.mktemp("tiny") / "wan")


@pytest.fixture(scope="session")
def tiny_wan_i2v(tmp_path_factory):
    """A tiny random image-to-video Wan pipeline folder."""
    return tiny.write_tiny_wan(tmp_path_factory.mktemp("tiny") / "wan-i2v", image=True)


@pytest.fixture(scope="session")
def tiny_wan_per_token(tmp_path_factory):
    """A tiny random Wan pipeline folder with a timestep for each token, as TI2V-5B."""
    return tiny.write_tiny_wan(tmp_path_factory.mktemp("tiny") / "wan-per-token", expand_timesteps=True)


@pytest.fixture(scope="session")
def tiny_wan_experts(tmp_path_factory):
    """A tiny random Wan pipeline folder with two experts and UniPC, as A14B."""
    folder = tmp_path_factory.mktemp("tiny") / "wan-experts"
    return tiny.write_tiny_wan(folder, experts=True, unipc=True)


KINDS = ("t2v", "i2v", "per_token", "experts")


@pytest.fixture(scope="session")
def tiny_bases(tiny_wan, tiny_wan_i2v, tiny_wan_per_token, tiny_wan_experts):
    """Base folders by kind."""
    return dict(zip(KINDS, (tiny_wan, tiny_wan_i2v, tiny_wan_per_token, tiny_wan_experts), strict=True))


@pytest.fixture(scope="session")
def tiny_joints(tiny_bases, tmp_path_factory):
    """Freshly converted joint folders by kind."""
    from videojam.joint.convert import convert

    out = tmp_path_factory.mktemp("joint")
    return {kind: convert(base, out / kind) for kind, base in tiny_bases.items()}


@pytest.fixture
def trained_joint(tiny_joints):
    """A loaded tiny joint T2V model whose motion weights are random instead of zero."""
    from videojam.models.load import load_model

    model = load_model(tiny_joints["t2v"])
    tiny.randomise_projections(model.pipeline)
    return model
