"""Rows that are kept as they are done, and settings that must agree."""

from __future__ import annotations

import pytest

from videojam.errors import VideoJamError
from videojam.store import append_row, check_same, read_rows, stamp_of


def test_rows_come_back_and_a_torn_last_line_is_done_again(tmp_path):
    path = tmp_path / "deep" / "rows.jsonl"
    assert list(read_rows(path)) == []
    append_row(path, {"clip": "é", "n": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"clip": "b", "n"')
    assert list(read_rows(path)) == [{"clip": "é", "n": 1}]
    append_row(path, {"clip": "b", "n": 2})
    assert [row["n"] for row in read_rows(path, ("clip",))] == [1, 2]
    path.write_bytes(b"torn from the start")
    append_row(path, {"n": 3})
    assert list(read_rows(path)) == [{"n": 3}]


@pytest.mark.parametrize(
    "garbage", [b"garbage", b"[1, 2]", b"{}", b'"clip"', b"\xff\xfe", b'{"clip": "a"', b"null"]
)
def test_a_line_that_is_no_row_is_named(tmp_path, garbage):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"clip": "a"}\n' + garbage + b'\n{"clip": "b"}\n')
    with pytest.raises(VideoJamError, match=r"rows\.jsonl, line 2: expected an object with clip") as caught:
        list(read_rows(path, ("clip",)))
    assert "Remove that line" in caught.value.fix


def test_settings_that_differ_are_named_with_both_values(tmp_path):
    check_same({"a": (1, 2), "b": None}, {"a": [1, 2]}, "as before", tmp_path, "Change it.")
    with pytest.raises(VideoJamError) as caught:
        check_same({"a": 1, "seed": 0}, {"a": 1, "seed": 1}, "as the file has it", tmp_path, "Change it.")
    assert (caught.value.expected, caught.value.found) == ("seed = 0, as the file has it", "1")
    with pytest.raises(VideoJamError, match="new = null"):
        check_same({}, {"new": 3}, "as the file has it", tmp_path, "Change it.")


@pytest.mark.parametrize(
    ("before", "now", "expected", "found"),
    [
        ({"m": {"s": 1, "c": "sqrt"}}, {"m": {"s": 1, "c": "linear"}}, 'm.c = "sqrt", x', '"linear"'),
        ({"m": {"a": {"b": 1}}}, {"m": {"a": {"b": 2}}}, "m.a.b = 1, x", "2"),
        ({"m": {"s": 1}}, {"m": None}, 'm = {"s": 1}, x', "null"),
        ({"m": {"s": 1}}, {"m": {"s": 1, "t": 2}}, "m.t = null, x", "2"),
        ({"m": {}}, {"m": {"t": 2}}, "m.t = null, x", "2"),
        ({"m": [1, {"a": 1}]}, {"m": [1, {"a": 2}]}, 'm = [1, {"a": 1}], x', '[1, {"a": 2}]'),
    ],
)
def test_of_a_group_of_settings_the_one_that_differs_is_named(tmp_path, before, now, expected, found):
    with pytest.raises(VideoJamError) as caught:
        check_same(before, now, "x", tmp_path, "Change it.")
    assert (caught.value.expected, caught.value.found) == (expected, found)


def test_a_file_that_is_written_anew_has_another_stamp(tmp_path):
    path = tmp_path / "a"
    assert stamp_of(path) is None
    path.write_text("one")
    before = stamp_of(path)
    path.write_text("three")
    assert stamp_of(path) != before
