"""Tables as spreadsheets write them."""

from __future__ import annotations

import pytest

from videojam.errors import VideoJamError
from videojam.reading import read_table, read_text, same_form

ROWS = [{"file": "a.mp4", "prompt": "a cat"}, {"file": "b.mp4", "prompt": "a dog, running"}]


@pytest.mark.parametrize(
    "content",
    [
        b'file,prompt\na.mp4,a cat\nb.mp4,"a dog, running"\n',
        b'\xef\xbb\xbffile,prompt\r\na.mp4,a cat\r\nb.mp4,"a dog, running"\r\n',
        b"\xef\xbb\xbffile;prompt\r\na.mp4;a cat\r\nb.mp4;a dog, running\r\n",
        b"file\tprompt\na.mp4\ta cat\nb.mp4\ta dog, running",
        b'file , prompt\n a.mp4 , a cat \nb.mp4,"a dog, running",,\n\n',
    ],
    ids=["plain", "excel", "semicolons", "tabs", "spaces"],
)
def test_tables_of_every_spreadsheet(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    assert read_table(tmp_path / "t.csv", ("file", "prompt")) == ROWS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,prompt\na,b\n", "the columns file, prompt, found name, prompt"),
        (b"", "found an empty file"),
        (b"file,prompt\na.mp4,a dog, running\n", "line 2.*more"),
        (b'file,prompt\na.mp4,"a dog\n', "line 2"),
        ("file,prompt\n".encode("utf-16"), "not UTF-8"),
        (None, "no such file"),
    ],
)
def test_tables_that_would_be_misread_are_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(VideoJamError, match=message) as caught:
        read_table(tmp_path / "t.csv", ("file", "prompt"))
    assert "t.csv" in str(caught.value)


def test_text_without_its_mark_and_names_in_one_form(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf{}")
    assert read_text(tmp_path / "a.json") == "{}"
    assert same_form("cafe\u0301") == "caf\u00e9"
