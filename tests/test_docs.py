"""What the docs tell a user to type works: commands parse, links and recipes exist, imports too."""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

import videojam
from videojam.cli import app
from videojam.guidance.rules.rule import Predictions, Weights
from videojam.motion import colours
from videojam.sampling.settings import SampleSettings
from videojam.training.recipe import load_recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def fenced(page: Path, language: str) -> list[str]:
    return [body for name, body in FENCE.findall(page.read_text()) if name == language]


def commands(page: Path) -> list[list[str]]:
    """Each `videojam …` line of a page's shell blocks, without comments."""
    lines = "\n".join(fenced(page, "bash")).replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in split if words and words[0] == "videojam"]


COMMANDS = [(page.name, words) for page in PAGES for words in commands(page)]


@cache
def command_line() -> Any:
    """The command line with all its verbs, built once."""
    return typer.main.get_command(app)


def parse(words: list[str]) -> str:
    """Parse a command line without running it and return its verb; bad usage raises."""
    command, names = command_line(), []
    while hasattr(command, "commands"):
        names.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    with contextlib.suppress(typer.Exit):  # a flag that prints something and stops
        command.make_context(" ".join(names), list(words))
    return " ".join(names)


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[f"{p}: {' '.join(w)}" for p, w in COMMANDS])
def test_commands_of_the_docs_parse(page, words):
    assert parse(words)


def verbs(command=None, names: tuple[str, ...] = ()) -> list[str]:
    """Every verb of the command line, as `bench run`."""
    command = command or command_line()
    if not hasattr(command, "commands"):
        return [" ".join(names)]
    return [verb for name, inner in command.commands.items() for verb in verbs(inner, (*names, name))]


def test_the_page_of_commands_shows_every_verb_and_the_parser_can_fail():
    rows = re.findall(
        r"^\| `videojam ([a-z ]+[a-z])([^|]*)\|", (ROOT / "docs/commands.md").read_text(), re.MULTILINE
    )
    shown = set()
    for name, rest in rows:
        group = name.rsplit(" ", 1)[0]
        shown |= {name, *(f"{group} {more}" for more in re.findall(r", `([a-z]+)`", rest))}
    assert set(verbs()) == shown
    assert {"convert", "train", "generate", "verify"} <= {parse(words) for _, words in COMMANDS}
    with pytest.raises(Exception, match="--no-such-flag"):
        parse(["convert", "a", "b", "--no-such-flag"])


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_targets_of_the_docs_exist_and_do_what_they_say():
    said = {
        word for page in PAGES for word in re.findall(r"^\s*make ([\w-]+)", page.read_text(), re.MULTILINE)
    }
    assert {"install", "demo", "test", "lint", "coverage", "test-sdist", "test-lowest", "test-newest"} <= said
    for target in said:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert {"demo": "videojam demo", "test": "pytest", "lint": "ruff check"}.get(
            target, ""
        ) in done.stdout


def anchors(page: Path) -> set[str]:
    """What a link may name after `#`, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", page.read_text()):
        link = target[0] or target[1]
        if not link.startswith(("http://", "https://")):
            name, _, anchor = link.partition("#")
            file = page.parent / name if name else page
            assert file.exists(), link
            assert not anchor or anchor in anchors(file), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_that_are_named_exist(page):
    text = page.read_text()
    for module in re.findall(r"python\s-m\s(studies[\w.]+\w)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    for script in re.findall(r"(?:benchmarks|studies)/[\w/]+\.py", text):
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_that_are_named_exist(page):
    for name in re.findall(r"recipes/[\w/-]+\.yaml", page.read_text()):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(recipe.relative_to(ROOT)))
def test_every_recipe_loads(recipe):
    assert load_recipe(recipe).num_steps >= 1


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_the_docs_imports_what_exists(page):
    for code in fenced(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []


RUN = ("reference.md", "adding-a-guidance-rule.md", "adding-a-motion-code.md")


@pytest.mark.parametrize("name", RUN)
def test_python_of_these_pages_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(colours, "CURVES", dict(colours.CURVES))  # a page adds to them
    code = "\n".join(fenced(ROOT / "docs" / name, "python"))
    found: dict[str, Any] = {}
    exec(compile(code, name, "exec"), found)
    if name == "adding-a-guidance-rule.md":  # what its pass returns makes stock CFG of its scale its formula
        rule, weights = found["RULE"], Weights(text=0.0, motion=3.0)
        u, u_null_motion = torch.tensor(5.0), torch.tensor(3.0)
        seen = Predictions(u, branch=u_null_motion)
        assert rule.combine(seen, weights) == 5 + 3 * (5 - 3)
        assert rule.returned(seen, weights, rule.scale(weights)) == rule.combine(seen, weights)
    if name == "adding-a-motion-code.md":
        curve = colours.CURVES["cbrt"]
        assert curve.apply(torch.tensor([0.125])).item() == pytest.approx(0.5)
        assert curve.invert(torch.tensor([0.5])).item() == pytest.approx(0.125)


def test_the_reference_has_an_entry_for_every_public_name():
    entries = re.findall(r"^\.\. auto\w+:: videojam\.(\w+)$", (ROOT / "docs/reference.md").read_text(), re.M)
    assert sorted(entries) == sorted(set(videojam.__all__) - {"__version__"})


def test_the_site_lists_every_page_once():
    listed = re.findall(r"^([a-z][\w-]*)$", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted({page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"})


def test_the_page_on_sampling_shows_every_setting():
    shown = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/sampling.md").read_text(), re.MULTILINE)
    assert shown == list(SampleSettings.model_fields)


def test_contributing_names_every_room_and_module():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    package = ROOT / "src/videojam"
    rooms = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")} - {"bench/", "demo/"}
    wings = {f"bench/{path.parent.name}/" for path in package.glob("bench/*/__init__.py")}
    modules = {path.name for path in package.glob("*.py") if not path.name.startswith("_")}
    assert [name for name in sorted(rooms | wings | modules) if f"`{name}`" not in text] == []


def test_the_page_of_commands_shows_every_public_name():
    text = (ROOT / "docs/commands.md").read_text()
    assert [name for name in videojam.__all__ if not name.startswith("_") and f"`{name}`" not in text] == []
