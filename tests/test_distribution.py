"""What releases are made of: versions agree, workflows call commands that exist, the image copies what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import videojam

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == videojam.__version__


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_targets_and_tests_that_exist(workflow):
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {name for step in steps for name in re.findall(r"\bmake ([\w-]*\w)(?=\s|$)", step)}
    versions = {
        f"test-{row['versions']}"
        for job in jobs.values()
        for row in job.get("strategy", {}).get("matrix", {}).get("include", [])
    }
    assert called | versions
    assert called | versions <= targets
    assert all((ROOT / file).exists() for step in steps for file in re.findall(r"\btests/\S+\.py", step))


def test_pythons_of_ci_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = {name.rsplit(" ", 1)[1] for name in project["classifiers"] if re.search(r":: 3\.\d+$", name)}
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert set(ci["jobs"]["test"]["strategy"]["matrix"]["python-version"]) == said


def test_the_image_copies_what_is_there_and_its_extras_exist():
    text = (ROOT / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for name in line.split()]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    assert copied
    assert set(copied) == allowed
    assert all((ROOT / name).exists() for name in copied)
    extras = re.search(r'EXTRAS="([\w,]+)"', text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
