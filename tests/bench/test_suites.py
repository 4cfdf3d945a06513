"""Suites: what ships is what was promised, and a user's file is read, recognised or refused."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from videojam.bench.make import suites
from videojam.bench.make.suites import MOVIE_GEN_LEVELS, load_suite, normalise
from videojam.bench.presets import world_suite
from videojam.errors import VideoJamError
from videojam.world import WORLD_VERSION, WorldConfig, captions


def test_own_suite_has_32_distinct_prompts_of_each_kind():
    suite = load_suite("motion-128")
    assert Counter(p.category for p in suite.prompts) == dict.fromkeys(
        ("basic", "complex", "rotational", "physics"), 32
    )
    assert len({normalise(p.text) for p in suite.prompts}) == len({p.id for p in suite.prompts}) == 128
    assert all(p.text[0].isupper() and p.text.endswith(".") for p in suite.prompts)
    assert all(6 <= len(p.text.split()) <= 20 for p in suite.prompts)


def test_own_prompts_name_no_person_or_brand():
    """A capital inside a sentence would be a name."""
    for prompt in load_suite("motion-128").prompts:
        assert [word for word in prompt.text.split()[1:] if word[0].isupper()] == []


def test_world_suite_is_frozen_and_is_what_the_world_says():
    suite = load_suite("world")
    assert suite.version == WORLD_VERSION
    assert suite.sha256 == "b8a96b9516e4cc44a65145a04cdf8c0c667fc3c0b918c260478683c6046204df"
    assert Counter(p.text for p in suite.prompts) == dict.fromkeys(captions(WorldConfig()), 64)
    assert [p.seed for p in suite.prompts] == list(range(800_000_000, 800_000_256))
    assert suite.prompts == world_suite(800_000_000, 64).prompts


def test_a_text_file_has_a_prompt_a_line(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("\ufeffa dog runs\n\n  a cat jumps  \n", encoding="utf-8")
    suite = load_suite(path)
    assert [(p.id, p.text, p.category) for p in suite.prompts] == [
        ("0001", "a dog runs", None), ("0002", "a cat jumps", None)
    ]  # fmt: skip
    assert suite.name == "mine"


def test_csv_and_json_keep_tags(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text('prompt,concept,motion_level\n"a dog, wet, runs",animal,high\na lake,scenery,low\n')
    first = load_suite(table).prompts[0]
    assert first.text == "a dog, wet, runs"
    assert first.tags == {"concept": "animal", "motion_level": "high"}
    assert first.category == "high"
    other = tmp_path / "a.json"
    other.write_text(json.dumps({"prompts": [{"prompt": "A dog, wet, runs.", "id": "dog 1"}, "a lake"]}))
    assert [p.id for p in load_suite(other).prompts] == ["dog-1", "0002"]
    assert load_suite(other).sha256 == load_suite(table).sha256


def test_copies_of_shipped_suites_are_recognised(tmp_path):
    path = tmp_path / "copy.txt"
    path.write_text("\n".join(p.text.upper() for p in load_suite("motion-128").prompts))
    assert load_suite(path).name == "motion-128"


def test_videojam_bench_is_recognised_by_its_hash(tmp_path, monkeypatch):
    path = tmp_path / "list.txt"
    path.write_text("a dog runs\na cat jumps\n")
    monkeypatch.setattr(suites, "VIDEOJAM_BENCH_SHA256", load_suite(path).sha256)
    path.write_text("A dog runs.\nA  cat jumps.\n")
    assert load_suite(path).name == "VideoJAM-bench"
    path.write_text("A dog runs.\nA cow jumps.\n")
    assert load_suite(path).name == "list"


def test_movie_gen_is_recognised_by_its_levels_and_may_repeat_itself(tmp_path):
    levels = [level for level, count in MOVIE_GEN_LEVELS.items() for _ in range(count)]
    rows = [f"prompt number {max(i, 1)},thing,{level}" for i, level in enumerate(levels)]
    path = tmp_path / "x.csv"
    path.write_text("prompt,concept,motion_level\n" + "\n".join(rows))
    suite = load_suite(path)
    assert suite.name == "Movie Gen benchmark"
    assert Counter(p.category for p in suite.prompts) == MOVIE_GEN_LEVELS


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", "a dog runs\nA dog  runs.\n", "number 1, 2"),
        ("a.txt", "\n", "no prompt"),
        ("a.json", '{"texts": []}', "neither a list"),
        ("a.json", "[", "Expecting value"),
        ("a.csv", "title,level\nx,y\n", "title, level"),
        ("a.json", '[{"id": "x", "text": "a"}, {"id": "x", "text": "b"}]', "each id once"),
    ],
)
def test_bad_files_are_told(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(VideoJamError, match=told):
        load_suite(path)


def test_an_unknown_suite_lists_those_that_ship():
    with pytest.raises(VideoJamError, match="motion-128, world"):
        load_suite("motion-256")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"prompt": "a cat runs", "id": "p1"}\n\n{"prompt": "a dog, wet", "id": "p2"}\n'),
        ("a.JSONL", '{"prompt": "a cat runs", "id": "p1"}\n{"prompt": "a dog, wet", "id": "p2"}'),
        ("a.tsv", "id\tprompt\np1\ta cat runs\np2\ta dog, wet\n"),
        ("a.TSV", "\ufeffid\tprompt\r\np1\ta cat runs\r\np2\ta dog, wet\r\n"),
        ("a.CSV", 'id,prompt\np1,a cat runs\np2,"a dog, wet"\n'),
        ("a.csv", "id;prompt\np1;a cat runs\np2;a dog, wet\n"),
        ("a.JSON", '[{"id": "p1", "text": "a cat runs"}, {"id": "p2", "text": "a dog, wet"}]'),
    ],
)
def test_each_kind_of_file_is_read_as_what_it_is(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert [(p.id, p.text) for p in load_suite(path).prompts] == [("p1", "a cat runs"), ("p2", "a dog, wet")]


def test_text_in_capitals_is_text_and_json_lines_may_be_strings(tmp_path):
    (tmp_path / "a.TXT").write_text("a cat runs\n")
    (tmp_path / "b.jsonl").write_text('"a cat\u2028runs"\n', encoding="utf-8")
    assert load_suite(tmp_path / "a.TXT").prompts[0].text == "a cat runs"
    assert load_suite(tmp_path / "b.jsonl").prompts[0].text == "a cat\u2028runs"


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.yaml", b"- a cat", "suffix"),
        ("a", b"a cat", "without a suffix"),
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": ', "line 2"),
        ("a.jsonl", b"3", "an entry 3"),
        ("a.json", b'[{"prompt": ["a", "b"]}]', "an entry with prompt"),
        ("a.json", b'{"text": "a"}', "neither a list"),
        ("a.tsv", b"name\tsize\na\t1\n", "name, size"),
        ("a.txt", "caf\xe9".encode("latin-1"), "not UTF-8"),
        ("a.txt", "a cat".encode("utf-16"), "not UTF-8"),
        ("a.txt", b"\n \n", "no prompt"),
        ("a.json", b'["a \\udcff cat"]', "text of whole characters was expected"),
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path, name, content, found):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(VideoJamError, match=found):
        load_suite(path)


def test_an_id_is_a_file_name(tmp_path):
    ids = ["../a", "..", "b\u0000", "c" * 300, "ü", "猫"]
    path = tmp_path / "ids.json"
    path.write_text(json.dumps([{"id": id_, "text": f"prompt {i}"} for i, id_ in enumerate(ids)]))
    assert [prompt.id for prompt in load_suite(path).prompts] == ["a", "0002", "b", "c" * 120, "0005", "0006"]
