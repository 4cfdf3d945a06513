"""A recipe says what it means: strict types, no key twice, errors that name the key; every shipped one loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from videojam.errors import VideoJamError
from videojam.training.fields import describe_fields
from videojam.training.recipe import load_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
WHOLE = """
base: tiny:base
out: run
num_steps: 3
data: {source: {kind: folder, path: clips, num_frames: 25, height: 64, width: 64, fps: 12}}
"""


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(WHOLE)
    return file


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_recipe_loads(path):
    assert load_recipe(path).num_steps >= 1


@pytest.mark.parametrize("name", ["folder", "wan21-1_3b-lora"])
def test_validation_clips_in_comments_are_a_valid_part(name, tmp_path):
    text = (ROOT / "recipes" / f"{name}.yaml").read_text()
    before, part = text.split("# samples:\n")
    part = "".join(line.removeprefix("# ") for line in part.splitlines(keepends=True))
    (tmp_path / "recipe.yaml").write_text(f"{before}samples:\n{part}")
    samples = load_recipe(tmp_path / "recipe.yaml").samples
    assert samples.every == 500
    assert len(samples.prompts) == 2


def test_all_recipes_are_found():
    assert {path.name for path in RECIPES} >= {"folder.yaml", "control.yaml", "videojam.yaml"}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("num_steps: true", "num_steps"),
        ("num_steps: yes", "num_steps"),
        ("num_steps: 3.5", "num_steps"),
        ("num_steps: '3'", "num_steps"),
        ("num_steps: 010", "num_steps"),  # octal 8 in YAML 1.1
        ("num_steps: 1:30", "num_steps"),  # 90 in YAML 1.1
        ("num_steps:", "num_steps"),
        ("seed: no", "seed"),
        ("batch_size: [4]", "batch_size"),
        ("ema_decay: 'high'", "ema_decay"),
        ("ema_decay: .nan", "ema_decay"),
        ("gradient_checkpointing: 1", "gradient_checkpointing"),
        ("base: 7", "base"),
        ("out: 2026", "out"),
        ("out: 2026-11-27", ""),  # a date in YAML 1.1: a word here, so a folder's name
        ("optimizer: {learning_rate: true}", "optimizer.learning_rate"),
        ("optimizer: {learning_rate: .inf}", "optimizer.learning_rate"),
        ("optimizer: {betas: 0.9}", "optimizer.betas"),
        ("optimizer: {betas: [0.9]}", "optimizer.betas"),
        ("optimizer: adamw", "optimizer"),
        ("objective: {motion_weight: '1'}", "objective.motion_weight"),
        ("objective: {t_mean: .nan}", "objective.t_mean"),
        ("lora: true", "lora"),
        ("lora: {rank: 2.5}", "lora.rank"),
        ("lora: {target_modules: to_q}", "lora.target_modules"),
        ("motion: {scale: true}", "motion.scale"),
        ("expert: no", "expert"),
        ("validate_t: [0.5, true]", "validate_t"),
        ("validate_t: [1.5]", ""),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_key(recipe, line, key):
    name = line.partition(":")[0]
    kept = [own for own in WHOLE.splitlines() if not own.startswith(f"{name}:")]
    recipe.write_text("\n".join([*kept, line]))
    if line == "out: 2026-11-27":
        assert load_recipe(recipe).out == Path("2026-11-27")
        return
    with pytest.raises(VideoJamError) as caught:
        load_recipe(recipe)
    assert key in caught.value.where


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("learning_rate: 1e-5", 1e-05),
        ("learning_rate: 1E-5", 1e-05),
        ("learning_rate: 2", 2.0),
        ("learning_rate: .5", 0.5),
        ("learning_rate: 5.", 5.0),
        ("learning_rate: 1_0.5", 10.5),
    ],
)
def test_numbers_are_read_as_people_write_them(recipe, line, value):
    recipe.write_text(f"{WHOLE}optimizer:\n  {line}\n")
    assert load_recipe(recipe).optimizer.learning_rate == value
    assert load_recipe(recipe, ["num_steps=1e4"]).num_steps == 10_000


@pytest.mark.parametrize(
    "text",
    [WHOLE + "num_steps: 5\n", WHOLE + "optimizer: {learning_rate: 1e-5, learning_rate: 1e-3}\n"],
    ids=["top", "nested"],
)
def test_a_key_given_twice_is_refused_with_its_line(recipe, text):
    recipe.write_text(text)
    with pytest.raises(VideoJamError, match=r"second time.*line \d+"):
        load_recipe(recipe)


@pytest.mark.parametrize(
    "override",
    [
        "",
        "=1",
        "num_steps",
        "optimizer..name=adamw",
        "num_steps=[1",
        "num_steps=",
        "num_steps=nan",
        "num_steps.a=1",
        "nothing=1",
        "optimizer.learning_rat=1",
        "num_steps=true",
        "data.source.kind=x",
    ],
)
def test_a_change_that_does_not_fit_is_refused(recipe, override):
    with pytest.raises(VideoJamError):
        load_recipe(recipe, [override])


def test_of_keys_that_contradict_each_other_only_these_are_shown(recipe):
    with pytest.raises(VideoJamError) as caught:
        load_recipe(recipe, ["data.draw=posterior"])
    assert caught.value.found == "draw: posterior, encode: once"
    assert caught.value.where.endswith("recipe.yaml: data")
    with pytest.raises(VideoJamError) as caught:
        load_recipe(recipe, ["data.source={path: clips, num_frames: 25}"])
    assert (caught.value.expected, caught.value.found) == ("a key 'kind'", "none")


def test_changes_reach_into_keys(recipe):
    config = load_recipe(recipe, ["lora.rank=4", "optimizer.learning_rate=1e-5", "data.source.fps=8"])
    assert (config.lora.rank, config.optimizer.learning_rate, config.data.source.fps) == (4, 1e-5, 8)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        (["data.source.kind=prepared", "data.source.path=shards"], "prepared"),
        (["data.source.path=shards", "data.source.kind=prepared"], "prepared"),
        (["data.source.kind=world", "data.source.num_clips=8"], "world"),
        (["data.source={kind: prepared, path: shards}"], "prepared"),
        (["data.source.kind=folder", "data.source.path=shards"], "folder"),
    ],
)
def test_another_kind_of_source_replaces_the_whole_source(recipe, changes, kind):
    source = load_recipe(recipe, changes).data.source
    assert source.kind == kind
    assert getattr(source, "path", Path("shards")) == Path("shards")
    assert source.num_frames == 25 if kind == "folder" else "num_frames" not in source.model_fields_set


def test_another_kind_of_source_asks_for_its_own_keys(recipe):
    with pytest.raises(VideoJamError) as caught:
        load_recipe(recipe, ["data.source.kind=prepared"])
    assert caught.value.expected == "the key 'data.source.path'"


def test_a_key_of_another_place_is_not_suggested_for_itself(recipe):
    with pytest.raises(VideoJamError) as caught:
        load_recipe(recipe, ["data.source={kind: prepared, path: shards, fps: 8}"])
    assert caught.value.found == "the unknown key 'data.source.fps'"
    assert caught.value.fix.startswith("'fps' is a key, but not in this place. ")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "empty"),
        (b"- 1\n", "list"),
        (b"a: [1", "line 1"),
        (b"\xff\xfe", "UTF-8"),
        (b"1: 2\n", "none"),
        (b"a: &x [*x]\n", ""),
        (b"--- 1\n--- 2\n", "document"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path, content, found):
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content)
    with pytest.raises(VideoJamError) as caught:
        load_recipe(file)
    assert found in caught.value.found


def test_fields_show_choices_and_bounds_in_80_columns():
    lines = describe_fields()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "[videojam | plain]" in text
    assert "[raft | dis | exact]" in text
    assert "[≥ 1, required]\nnum_steps:" in text
