"""Which files of a folder are clips, and which caption belongs to which."""

from __future__ import annotations

import os
import unicodedata

import pytest

from videojam.errors import VideoJamError
from videojam.motion.clips import VIDEO_SUFFIXES, find_clips, read_caption


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def listed(folder, **options):
    return [str(path.relative_to(folder)) for path in find_clips(folder, **options)]


def test_every_suffix_in_any_case_and_no_other_file(tmp_path):
    names = [f"{i:02d}{suffix}" for i, suffix in enumerate(VIDEO_SUFFIXES)]
    upper = [f"{i:02d}{suffix.upper()}" for i, suffix in enumerate(VIDEO_SUFFIXES, 50)]
    touch(tmp_path, *names, *upper, "a.txt", "b.mp4.part", "c", "mp4", "d.wav", "e.png")
    assert listed(tmp_path) == names + upper


def test_what_a_model_predicted_beside_a_clip_is_no_clip_but_a_name_alone_is(tmp_path):
    touch(
        tmp_path, "000_a.mp4", "000_a.motion.mp4", "000_a.side.MP4", "slow.motion.mp4", "sub/000_a.side.mp4"
    )
    assert listed(tmp_path) == ["000_a.mp4", "slow.motion.mp4", "sub/000_a.side.mp4"]


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    touch(tmp_path, "a.mp4", "._a.mp4", ".b.mp4", ".cache/c.mp4", "sub/.d.mp4")
    (tmp_path / "folder.mp4").mkdir()
    assert listed(tmp_path) == ["a.mp4"]


def test_subfolders_on_request(tmp_path):
    touch(tmp_path, "b.mp4", "sub/a.mp4", "sub/deeper/c.mp4")
    assert listed(tmp_path) == ["b.mp4", "sub/a.mp4", "sub/deeper/c.mp4"]
    assert listed(tmp_path, deep=False) == ["b.mp4"]


def test_linked_folders_are_searched_once_and_loops_end(tmp_path):
    touch(tmp_path, "elsewhere/a.mp4", "in/b.mp4")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "linked_again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path)
    found = listed(tmp_path / "in")
    assert found[0] == "b.mp4"
    assert len(found) == 2


def test_a_link_to_nothing_is_listed_so_that_it_is_reported(tmp_path):
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "absent.mp4")
    assert listed(tmp_path) == ["gone.mp4"]


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.write_text(""), "a file"),
        (lambda path: path.mkdir(), "none"),
    ],
)
def test_nothing_to_list_is_refused_with_its_path(tmp_path, make, found):
    make(tmp_path / "x")
    with pytest.raises(VideoJamError) as caught:
        find_clips(tmp_path / "x")
    assert caught.value.found == found
    assert caught.value.where == str(tmp_path / "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list any folder")
def test_a_folder_without_permission_is_named(tmp_path):
    touch(tmp_path, "sub/a.mp4")
    (tmp_path / "sub").chmod(0)
    with pytest.raises(VideoJamError, match="sub"):
        find_clips(tmp_path)
    (tmp_path / "sub").chmod(0o700)


@pytest.mark.parametrize(
    "content",
    [b"a dog runs", b"\xef\xbb\xbfa dog runs\r\n", b" a dog\r\nruns \n\n", "a\u3000dog runs".encode()],
    ids=["plain", "bom", "lines", "wide space"],
)
def test_a_caption_is_one_line_without_its_mark(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    assert read_caption(tmp_path / "a.mp4") == "a dog runs"


@pytest.mark.parametrize(
    ("clip", "caption"),
    [
        ("a.MP4", "a.TXT"),
        (unicodedata.normalize("NFD", "café.mp4"), unicodedata.normalize("NFC", "café.txt")),
        (unicodedata.normalize("NFC", "が.mp4"), unicodedata.normalize("NFD", "が.txt")),
        ("two.dots.mp4", "two.dots.txt"),
    ],
)
def test_a_caption_is_found_in_other_letters(tmp_path, clip, caption):
    (tmp_path / caption).write_text("a dog")
    assert read_caption(tmp_path / clip) == "a dog"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        (b"", "an empty file"),
        (b"\xef\xbb\xbf \r\n", "an empty file"),
        ("a dog".encode("utf-16"), "not UTF-8"),
        ("a dog".encode("utf-16-le"), "not UTF-8"),
        (b"caf\xe9", "not UTF-8"),
    ],
)
def test_no_caption_is_said(tmp_path, content, found):
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(VideoJamError, match=found) as caught:
        read_caption(tmp_path / "a.mp4")
    assert "a.txt" in str(caught.value)
