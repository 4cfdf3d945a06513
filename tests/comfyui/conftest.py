"""The node pack, loaded as ComfyUI loads a folder of its custom nodes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "comfyui"


@pytest.fixture(scope="session")
def pack():
    name = "videojam_node_pack"
    spec = importlib.util.spec_from_file_location(
        name, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def guiding(pack):
    return importlib.import_module(f"{pack.__name__}.guiding")


@pytest.fixture(scope="session")
def latents(pack):
    return importlib.import_module(f"{pack.__name__}.latents")
