"""The same content has the same hash, and other content another; a hash never changes from one release to the next."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

import videojam
from videojam import fingerprints, provenance
from videojam.data.clips import ClipEntry

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", as FIPS 180-2 prints it


def test_text_bytes_and_files_have_the_standard_hash(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert fingerprints.of_bytes(b"") == EMPTY
    assert fingerprints.of_text("abc") == fingerprints.of_bytes(b"abc") == fingerprints.of_file(path) == ABC


def test_the_order_of_keys_does_not_count() -> None:
    assert fingerprints.of_data({"a": 1, "b": 2}) == fingerprints.of_data({"b": 2, "a": 1})
    assert fingerprints.of_data({"a": 1, "b": 2}) != fingerprints.of_data({"a": 2, "b": 1})


def test_a_clip_is_known_by_content_and_caption() -> None:
    def entry(content: str, caption: str) -> str:
        return ClipEntry("name", content, caption, read=lambda: None).key  # type: ignore[arg-type, return-value]

    assert entry("a", "b") == entry("a", "b") == fingerprints.of_text("a b")[:32]
    assert len({entry("a", "b"), entry("a", "c"), entry("c", "b")}) == 3


class _Module(nn.Linear):
    def __init__(self, **config: object) -> None:
        super().__init__(2, 2)
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        self.config = config


def test_a_module_is_known_by_config_and_weights_but_not_by_its_folder_or_type() -> None:
    first = fingerprints.of_module(_Module(size=2, _name_or_path="here"))
    assert fingerprints.of_module(_Module(size=2, _name_or_path="there").to(torch.bfloat16)) == first
    assert fingerprints.of_module(_Module(size=3)) != first
    other = _Module(size=2)
    nn.init.zeros_(other.weight)
    assert fingerprints.of_module(other) != first


def test_versions_are_those_installed() -> None:
    assert provenance.versions() == {
        "videojam": videojam.__version__,
        "torch": version("torch"),
        "diffusers": version("diffusers"),
        "transformers": version("transformers"),
    }


def test_the_revision_is_of_the_repository_that_tracks_the_file(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        command = ["git", "-C", str(tmp_path), *who, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    tracked, installed = tmp_path / "mine.py", tmp_path / "site-packages" / "provenance.py"
    installed.parent.mkdir()
    tracked.touch()
    installed.touch()
    assert provenance.git_revision(tracked) is None
    git("init", "--quiet")
    git("add", "mine.py")
    assert provenance.git_revision(tracked) is None  # nothing committed yet
    git("commit", "--quiet", "-m", "One")
    assert provenance.git_revision(tracked) == git("rev-parse", "HEAD")
    assert provenance.git_revision(installed) is None
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert provenance.git_revision(tracked) is None
