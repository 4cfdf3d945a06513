"""A small study of real clips, and its server as a process of its own."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from videojam.study.config import StudyConfig
from videojam.study.create import Asked, new_study

_path = Path(__file__).parent / "clips.py"
_spec = importlib.util.spec_from_file_location("tests_study_clips", _path)
clips = importlib.util.module_from_spec(_spec)
sys.modules["tests_study_clips"] = clips
_spec.loader.exec_module(clips)
served, write_clips = clips.served, clips.write_clips


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> list[str]:
    """Two arms of four clips, as arguments."""
    root = tmp_path_factory.mktemp("clips")
    return [f"ours={write_clips(root / 'ours', 20)}", f"base={write_clips(root / 'base', 90)}"]


@pytest.fixture(scope="session")
def made(folders, tmp_path_factory) -> Path:
    """A study of four pairs, two checks and practice."""
    out = tmp_path_factory.mktemp("study") / "made"
    config = StudyConfig(
        raters_per_pair=3,
        num_checks=2,
        repeat_share=0.25,
        completion_url="https://example.org/done?cc={code}",
    )
    new_study(out, Asked(folders), config)
    return out


@pytest.fixture
def study_folder(made, tmp_path) -> Path:
    """A copy of the study, without votes."""
    return Path(shutil.copytree(made, tmp_path / "study"))


@pytest.fixture(scope="module")
def open_server(made, tmp_path_factory):
    """An open server on a study of its own; the clips' duration is no obstacle to votes at once."""
    folder = Path(shutil.copytree(made, tmp_path_factory.mktemp("served") / "study"))
    with served(folder, "--open", "--joins-per-hour", "1000") as (_, port, _said):
        yield folder, port
