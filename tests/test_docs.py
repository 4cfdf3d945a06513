"""What the docs tell a user to type works: commands parse, links and recipes exist, imports too."""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from videojam.cli import app
from videojam.training.config import load_recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def fenced(page: Path, language: str) -> list[str]:
    return [body for name, body in FENCE.findall(page.read_text()) if name == language]


def commands(page: Path) -> list[list[str]]:
    """Each `videojam …` line of a page's shell blocks, without comments."""
    lines = "\n".join(fenced(page, "bash")).replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in split if words and words[0] == "videojam"]


COMMANDS = [(page.name, words) for page in PAGES for words in commands(page)]


def parse(words: list[str]) -> str:
    """Parse a command line without running it and return its verb; bad usage raises."""
    command, names = typer.main.get_command(app), []
    while hasattr(command, "commands"):
        names.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    with contextlib.suppress(typer.Exit):  # a flag that prints something and stops
        command.make_context(" ".join(names), list(words))
    return " ".join(names)


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[f"{p}: {' '.join(w)}" for p, w in COMMANDS])
def test_commands_of_the_docs_parse(page, words):
    assert parse(words)


def test_the_readme_shows_every_verb_and_the_parser_can_fail():
    readme = (ROOT / "README.md").read_text()
    models = ("demo", "convert", "families", "inspect", "init", "train", "generate", "verify")
    for verb in (*models, "world render", "world score"):
        assert f"`videojam {verb} " in readme
    assert {"convert", "train", "generate", "verify"} <= {parse(words) for _, words in COMMANDS}
    with pytest.raises(Exception, match="--no-such-flag"):
        parse(["convert", "a", "b", "--no-such-flag"])


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_targets_of_the_docs_exist_and_do_what_they_say():
    said = {word for page in PAGES for word in re.findall(r"^\s*make (\w+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "test", "lint"} <= said
    for target in said:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert {"demo": "videojam demo", "test": "pytest", "lint": "ruff check"}.get(
            target, ""
        ) in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#\s]+)\)|src=\"([^\"]+)\"", page.read_text()):
        link = target[0] or target[1]
        if not link.startswith(("http://", "https://")):
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_that_are_named_exist(page):
    for name in re.findall(r"recipes/[\w-]+\.yaml", page.read_text()):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
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
