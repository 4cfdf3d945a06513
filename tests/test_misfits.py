"""What doesn't fit a config is said in words that need no pydantic."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from av.error import InvalidDataError
from pydantic import Field, ValidationError, model_validator

from videojam.errors import VideoJamError
from videojam.misfits import ContradictionError, fitted, misfit, reason
from videojam.strict import Strict


class Recipe(Strict):
    """One field of each kind."""

    num: int = Field(1, ge=1, le=9)
    rate: float = Field(0.5, gt=0, lt=1)
    name: Literal["adamw", "muon"] = "adamw"
    is_on: bool = False
    words: tuple[str, ...] = Field(("a",), min_length=1)
    text: str = Field("a", pattern="^a", min_length=1)
    inner: dict[str, int] = Field({})

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.name == "muon" and self.num > 5:
            raise ValueError("at most 5 with muon")
        return self


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"num": 0}, "a number of at least 1"),
        ({"num": 10}, "a number of at most 9"),
        ({"num": "many"}, "a whole number"),
        ({"num": 1.5}, "a whole number"),
        ({"rate": 0}, "a number greater than 0"),
        ({"rate": 1}, "a number less than 1"),
        ({"rate": "fast"}, "a number"),
        ({"rate": float("inf")}, "a finite number"),
        ({"name": "sgd"}, "'adamw' or 'muon'"),
        ({"is_on": "perhaps"}, "true or false"),
        ({"words": []}, "a list of at least 1"),
        ({"words": 3}, "a list"),
        ({"text": ""}, "text of at least 1 letters"),
        ({"text": "b"}, "text that matches ^a"),
        ({"text": 3}, "text"),
        ({"inner": 3}, "keys with values"),
        ({"name": "muon", "num": 6}, "at most 5 with muon"),
    ],
)
def test_what_a_value_should_have_been(content, expected):
    with pytest.raises(VideoJamError) as caught:
        fitted(Recipe, content, "recipe.yaml")
    assert caught.value.expected == expected


class Section(Strict):
    """Values of which some contradict each other."""

    kind: Literal["a", "b"] = "a"
    size: int = 1
    is_fast: bool = False
    notes: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Section:
        if self.kind == "b" and self.size > 1:
            raise ContradictionError("size 1 with kind b", {"kind": self.kind, "size": self.size})
        if self.is_fast:
            raise ValueError("is_fast needs a GPU")
        return self


class Sections(Strict):
    """A recipe with a section in it."""

    section: Section = Section()
    either: Annotated[Left | Right, Field(discriminator="side")] | None = None


class Left(Strict):
    """One of two."""

    side: Literal["left"]


class Right(Strict):
    """The other."""

    side: Literal["right"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"section": {"kind": "b", "size": 2, "notes": "n" * 500}}, "kind: b, size: 2"),
        ({"section": {"is_fast": True, "notes": "n" * 500}}, "this combination"),
        ({"section": {"size": "n" * 500}}, f"'{'n' * 98}…"),
        ({"either": {"path": "x"}}, "none"),
        ({"either": {"side": "top", "path": "x"}}, "'top'"),
    ],
)
def test_of_a_section_only_what_does_not_fit_is_shown(content, found):
    with pytest.raises(VideoJamError) as caught:
        fitted(Sections, content, "recipe.yaml")
    assert caught.value.found == found
    with pytest.raises(ValidationError) as raised:
        Sections.model_validate(content)
    assert len(misfit(raised.value)) < 200


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"num": 0}, "num = 0, where a number of at least 1 was expected"),
        ({"inner": {"a": "x"}}, "inner.a = 'x'"),
    ],
)
def test_what_is_wrong_with_a_file_that_videojam_wrote(content, words):
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(content)
    assert misfit(caught.value).startswith(words)


def test_why_a_file_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    calls = {
        "no such file": lambda: (tmp_path / "none").read_text(),
        "a folder": lambda: tmp_path.read_text(),
        "bytes that are not UTF-8 text": lambda: (tmp_path / "bytes").read_text(encoding="utf-8"),
        "no key 'a'": lambda: {}["a"],
        "text that is not JSON (expected value at line 1 column 1)": lambda: Recipe.model_validate_json("x"),
    }
    for words, call in calls.items():
        with pytest.raises((OSError, ValueError, KeyError)) as caught:
            call()
        assert reason(caught.value) == words
    assert (
        reason(InvalidDataError(1, "invalid data", "a.mp4")) == "invalid data"
    )  # FFmpeg's, which is no OSError
    assert reason(RuntimeError("\nfirst\nsecond")) == "first"
    assert reason(RuntimeError()) == "RuntimeError"
