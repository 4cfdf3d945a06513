"""Folders and files appear whole or not at all, nothing of another's is removed, and modes follow the umask."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
import torch

from videojam import files
from videojam.errors import VideoJamError
from videojam.files import refused, require_replaceable, write_tensors, write_text, written_whole

RECORD = "record.json"


def write_new(out: Path, content: str = "new", **options) -> None:
    with written_whole(out, **options) as temporary:
        temporary.mkdir()
        (temporary / RECORD).write_text(content)


def interrupted_while_writing(folder: Path) -> None:
    folder.mkdir()
    raise KeyboardInterrupt


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_folder_that_no_run_wrote_stays(tmp_path):
    """A1: what has no record of ours is never removed."""
    out = tmp_path / "model"
    out.mkdir()
    (out / "thesis.txt").write_text("three years")
    for replaces in (None, RECORD):
        with pytest.raises(VideoJamError) as refused:
            write_new(out, replaces=replaces)
        assert str(out) in str(refused.value)
        with pytest.raises(VideoJamError):
            require_replaceable(out, replaces)
    assert (out / "thesis.txt").read_text() == "three years"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_with_a_record_is_replaced_and_an_empty_one_too(tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    write_new(out, "first", replaces=RECORD)
    write_new(out, "second", replaces=RECORD)
    assert (out / RECORD).read_text() == "second"
    assert leftovers(tmp_path) == []


def test_a_file_or_a_dangling_link_of_that_name_stays(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(VideoJamError):
            write_new(tmp_path / name, replaces=RECORD)
    assert (tmp_path / "file").read_text() == "kept"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("failing", [1, 2])
def test_the_old_folder_stands_when_the_new_one_cannot_be_put_in_its_place(tmp_path, monkeypatch, failing):
    """A1: whichever of the two renamings fails."""
    out = tmp_path / "model"
    write_new(out, "old", replaces=RECORD)
    calls, replace = [], os.replace

    def sometimes(source, target):
        calls.append(source)
        if len(calls) == failing:
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", sometimes)
    with pytest.raises(VideoJamError) as error:
        write_new(out, replaces=RECORD)
    assert "Input/output error" in str(error.value)
    assert (out / RECORD).read_text() == "old"
    assert leftovers(tmp_path) == []


def test_an_interrupted_block_leaves_the_old_folder_and_nothing_else(tmp_path):
    out = tmp_path / "made" / "for" / "it"
    with pytest.raises(KeyboardInterrupt), written_whole(out) as temporary:
        interrupted_while_writing(temporary)
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_a_folder_elsewhere_stays_a_link(tmp_path):
    elsewhere, out = tmp_path / "disk" / "model", tmp_path / "model"
    write_new(elsewhere, "old")
    out.symlink_to(elsewhere)
    write_new(out, "new", replaces=RECORD)
    assert out.is_symlink()
    assert (elsewhere / RECORD).read_text() == "new"


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_mode_of_files_follows_the_umask(tmp_path, umask):
    """A24: safetensors makes its files private; others may read what the umask lets them."""
    before = os.umask(umask)
    try:
        alone = write_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(2)})
        text = write_text(tmp_path / "a.txt", "text")
        with written_whole(tmp_path / "folder") as temporary:
            inner = write_tensors(temporary / "b.safetensors", {"x": torch.zeros(2)})
            inner.chmod(0o600)
    finally:
        os.umask(before)
    for path in (alone, text, tmp_path / "folder" / "b.safetensors"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~umask


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(VideoJamError, match="ermission"):
        write_text(tmp_path / "new" / "a.txt", "text")
    tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_file_leaves_no_empty_folder(tmp_path):
    def fail(path):
        raise OSError(28, "No space left on device")

    with pytest.raises(VideoJamError, match="No space left"):
        files.write_file(tmp_path / "a" / "b" / "c.bin", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_copy_fails_has_one_reason(tmp_path):
    """shutil lists every file of a copy with both names, which says the reason a hundred times."""
    failed = shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'"), ("c", "d", "x")])
    assert refused(tmp_path, failed, "Free space.").found == "No space left on device"


def test_a_folder_that_another_process_wrote_meanwhile_is_not_replaced(tmp_path):
    out = tmp_path / "out"

    def write(*folders):
        for folder in folders:
            folder.mkdir()
            (folder / "who").write_text(folder.name)

    with pytest.raises(VideoJamError, match="it exists"), written_whole(out) as unfinished:
        write(unfinished, out)
    assert (out / "who").read_text() == "out"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
