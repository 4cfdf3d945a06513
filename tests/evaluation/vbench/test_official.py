"""The official package's driver: a real environment, a real process, and a package of its interface."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from videojam.cli import app
from videojam.errors import VideoJamError
from videojam.evaluation.vbench.official import (
    REQUIREMENTS,
    installed_version,
    prepare,
    prepare_commands,
    run_official,
)

# The constructor and `evaluate` of vbench 0.1.5; what it is called with goes into its result.
VBENCH = """
import json, os
import torch


class VBench:
    def __init__(self, device, full_info_dir, output_path):
        assert isinstance(device, torch.device), device
        assert full_info_dir.endswith("VBench_full_info.json")
        self.output_path = output_path

    def evaluate(self, videos_path, name, prompt_list=[], dimension_list=None, local=False, read_frame=False,
                 mode="vbench_standard", **kwargs):
        assert mode == "custom_input" and not read_frame and prompt_list == []
        assert kwargs == {"imaging_quality_preprocessing_mode": "longer"}
        assert "videojam" not in __import__("sys").modules
        print("scoring", local)
        if "fail.mp4" in os.listdir(videos_path):
            raise RuntimeError("a clip that it can't read")
        results = {}
        for dimension in dimension_list:
            paths = [os.path.join(videos_path, file) for file in sorted(os.listdir(videos_path))]
            assert all(os.path.isfile(path) for path in paths)
            results[dimension] = [0.5, [{"video_path": p, "video_results": 0.5} for p in paths]]
        with open(os.path.join(self.output_path, name + "_eval_results.json"), "w") as file:
            json.dump(results, file)
"""
TORCH = "class device:\n    def __init__(self, name):\n        self.name = name\n"


def write_wheel(folder, name, version, modules):
    info = f"{name}-{version}.dist-info"
    files = {
        **modules,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(file, text)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """What pip may install from: packages of the pinned names and versions, none of them real."""
    folder = tmp_path_factory.mktemp("wheels")
    vbench = {"vbench/__init__.py": VBENCH, "vbench/VBench_full_info.json": "[]"}
    write_wheel(folder, "vbench", "0.1.5", vbench)
    write_wheel(folder, "torch", "2.5.1", {"torch.py": TORCH})
    for name, version in (
        ("torchvision", "0.20.1"),
        ("numpy", "1.26.4"),
        ("wheel", "0.45.0"),
        ("setuptools", "80.0.0"),
    ):
        write_wheel(folder, name, version, {f"{name}_stub.py": ""})
    return folder


@pytest.fixture(scope="module")
def env(wheels, tmp_path_factory):
    if sys.version_info[:2] > (3, 11):
        pytest.skip("the official package has no wheels for this Python")
    folder = tmp_path_factory.mktemp("env") / "vbench"
    offline = ["--no-index", "--find-links", str(wheels), "--quiet", "--disable-pip-version-check"]
    assert prepare(folder, sys.executable, offline) == "0.1.5"
    return folder


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("one.mp4", "two.mp4", "notes.txt"):
        (folder / name).write_text(name)
    return folder


def test_commands():
    create, install = prepare_commands(Path("env"), "python3.11", ["--index-url", "https://example.org"])
    assert create == ["python3.11", "-m", "venv", "env"]
    assert install[1:4] == ["-m", "pip", "install"]
    assert install[4:6] == ["--index-url", "https://example.org"]
    assert install[6:] == list(REQUIREMENTS)
    assert {"vbench==0.1.5", "torch==2.5.1", "setuptools<81", "numpy<2"} <= set(REQUIREMENTS)


def test_scores_in_its_own_environment(env, clips, tmp_path):
    out = tmp_path / "out"
    results = run_official(
        env, sorted(clips.glob("*.mp4")), out, ["motion_smoothness", "dynamic_degree"], "cpu", local=True
    )
    assert results.clips == {
        name: {"motion_smoothness": 0.5, "dynamic_degree": 0.5} for name in ("one", "two")
    }
    manifest = json.loads((out / "official_manifest.json").read_text())
    assert manifest["versions"]["vbench"] == "0.1.5"
    assert manifest["request"]["device"] == "cpu"
    assert "scoring True" in (out / "official.log").read_text()


def test_its_failure_is_told_with_its_last_words(env, clips, tmp_path):
    (clips / "fail.mp4").write_text("")
    with pytest.raises(VideoJamError, match="a clip that it can't read") as error:
        run_official(env, sorted(clips.glob("*.mp4")), tmp_path / "out", device="cpu")
    assert error.value.where.endswith("official.log")
    assert not (tmp_path / "out" / "official_eval_results.json").exists()


def test_command_line(env, clips, tmp_path):
    arguments = ["vbench", "official", str(env), str(clips), str(tmp_path / "out"), "--device", "cpu"]
    told = CliRunner().invoke(app, [*arguments, "--dimension", "motion_smoothness"])
    assert told.exit_code == 0, told.output
    assert "motion_smoothness" in told.stdout
    assert "50.00%  n = 2" in told.stdout
    read = CliRunner().invoke(app, ["vbench", "read", str(tmp_path / "out/official_eval_results.json")])
    assert read.stdout == told.stdout


def test_bad_input_is_told_before_anything_runs(env, clips, tmp_path):
    with pytest.raises(VideoJamError, match="videojam vbench prepare"):
        run_official(tmp_path / "nowhere", [clips / "one.mp4"], tmp_path / "out")
    (clips / "three.gif").write_text("")
    twin = tmp_path / "one.mp4"
    twin.write_text("")
    for files in ([clips / "three.gif"], [clips / "gone.mp4"], [clips / "one.mp4", twin], []):
        with pytest.raises(VideoJamError, match="distinct names"):
            run_official(env, files, tmp_path / "out")
    with pytest.raises(VideoJamError, match="scene"):
        run_official(env, [clips / "one.mp4"], tmp_path / "out", ["scene"])


def test_unsuitable_pythons_and_packages_are_told(tmp_path):
    too_new = tmp_path / "python"
    too_new.write_text("#!/bin/sh\necho 3 13\n")
    too_new.chmod(0o755)
    with pytest.raises(VideoJamError, match=r"found 3\.13"):
        prepare(tmp_path / "env", str(too_new))
    with pytest.raises(VideoJamError, match="no such file"):
        prepare(tmp_path / "env", str(tmp_path / "gone"))
    assert not (tmp_path / "env").exists()
    with pytest.raises(VideoJamError, match="found none"):
        installed_version(tmp_path / "env")
