"""The public names: all there, typed alike, and free of torch until they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import videojam


@pytest.mark.parametrize("name", videojam.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(videojam, name)
    assert name in dir(videojam)
    assert name == "__version__" or value.__doc__


def test_the_stub_for_type_checkers_has_the_same_names():
    stub = ast.parse(Path(videojam.__file__).with_name("__init__.pyi").read_text())
    homes = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == videojam._HOMES


def test_another_name_is_refused_with_those_that_there_are():
    with pytest.raises(AttributeError, match="load_model"):
        videojam.load_modle  # noqa: B018


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, time\nstart = time.perf_counter()\nimport videojam\ntook = time.perf_counter() - start\n"
        "assert not {'torch', 'numpy', 'typer', 'pydantic'} & sys.modules.keys()\nassert took < 0.2, took\n"
        "from videojam import VideoJamError\nassert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
