"""What tests run with: arrays are checked, modules that files share, shared fixtures, the longest files first."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # a worker has one core, and so has a process that it starts
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads stall a shared machine
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gc
import importlib.abc
import importlib.util
import sys
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

gc.disable()  # until all is imported: what modules make stays
HERE = Path(__file__).parent
SHARED = {
    "tiny_pipelines": "tiny.py",
    "tiny_families": "tiny_families.py",
    "exactness": "exactness.py",
    "moving_clips": "moving_clips.py",
    "warm": "warm.py",
    "odd_writers": "data/odd_writers.py",
    "odd_files": "data/odd_files.py",
    "video_files": "motion/video_files.py",
    "family_kinds": "families/kinds.py",
    "until_export": "training/until_export.py",
    "bench_browser": "bench/browser.py",
    "shared_fixtures": "fixtures.py",
}
"""Modules that test files import, and where they are; the tests are no package."""
LONGEST = (
    "families/test_end_to_end_training.py",
    "families/test_end_to_end.py",
    "training/test_processes.py",
    "training/test_run.py",
    "training/test_dry_run.py",
    "training/test_faults.py",
    "app/test_page.py",
    "training/test_export.py",
    "bench/test_report.py",
    "bench/test_run.py",
    "data/test_prepare_folder.py",
    "test_premise_stages.py",
    "evaluation/probes/test_permutation.py",
    "evaluation/probes/test_noising.py",
    "evaluation/probes/test_plot_and_cli.py",
    "evaluation/vbench/test_dynamic_degree.py",
    "evaluation/vbench/test_official.py",
    "training/test_recipes.py",
    "training/test_image_to_video.py",
    "training/test_resume.py",
    "bench/test_cli.py",
    "sampling/test_twin.py",
    "e2e/test_ecosystem.py",
)
"""Files of more than five seconds, the longest first."""


class Shared(importlib.abc.MetaPathFinder):
    """Finds the shared modules, which are loaded where they are first imported."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname in SHARED:
            return importlib.util.spec_from_file_location(fullname, HERE / SHARED[fullname])
        return None


def with_arrays():
    """Names of the package's modules that annotate arrays; the others' types are mypy's to check."""
    folder = Path(importlib.util.find_spec("videojam").origin).parent
    files = [file for file in folder.rglob("*.py") if "jaxtyping" in file.read_text(encoding="utf-8")]
    return [".".join(file.relative_to(folder.parent).with_suffix("").parts) for file in files]


install_import_hook(with_arrays(), "beartype.beartype")
sys.meta_path.append(Shared())


def pytest_configure(config):
    """Take the shared fixtures, but for the process that only hands files to workers: torch's import takes seconds."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.pluginmanager.register(importlib.import_module("shared_fixtures"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, so that workers, which take a file at a time, end together."""
    places = {HERE / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish():
    """Leave modules and classes, which stay, out of every later collection of garbage."""
    gc.collect()
    gc.freeze()
    gc.enable()
