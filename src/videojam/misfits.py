"""Values that don't fit a config, and files that can't be read, in words that need no pydantic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from videojam.errors import VideoJamError

Config = TypeVar("Config", bound=BaseModel)

WANTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "keys with values"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    "string_type": "text",
    "string_unicode": "text of whole characters",
    "finite_number": "a finite number",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "too_short": "a list of at least {min_length}",
    "string_too_short": "text of at least {min_length} letters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "union_tag_invalid": "one of {expected_tags} as {discriminator}",
    "union_tag_not_found": "a key {discriminator}",
    "extra_forbidden": "a known key",
}
"""What a value should have been, by pydantic's type of error."""
SYSTEM = {
    FileNotFoundError: "no such file",
    IsADirectoryError: "a folder",
    NotADirectoryError: "a file in the place of a folder",
}
"""What a path was found to be, by the system's type of error."""
MAX_SHOWN = 100
"""Letters of a value that are shown."""


class ContradictionError(ValueError):
    """Values of a config that don't go together, for a validator to raise; only these are shown, not the whole section.

    Args:
        expected: What goes together.
        values: Those that don't, by key.
    """

    def __init__(self, expected: str, values: Mapping[str, Any]) -> None:
        self.found = ", ".join(
            f"{key}: {value if isinstance(value, str) else json.dumps(value)}"
            for key, value in values.items()
        )
        super().__init__(expected)


def fitted(kind: type[Config], content: Mapping[str, Any], where: str, see: str = "") -> Config:
    """Return a config of some keys and values; what doesn't fit is said by key, with a near key's name.

    Args:
        kind: The config's class.
        content: Keys and values.
        where: File or flag they came from, for the message.
        see: Where all keys are listed, as a sentence.

    Raises:
        VideoJamError: an unknown key, or a value that doesn't fit.
    """
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        raise explained(error, kind, where, see) from None


def explained(
    error: ValidationError, kind: type[BaseModel] | None, where: str, see: str = ""
) -> VideoJamError:
    """Return the error that says of the first value that doesn't fit what was expected in its place."""
    errors = error.errors()
    first, key, expected = errors[0], key_of(errors[0]), wanted(errors[0])
    found, fix = _found(first), see or "Correct the value."
    if first["type"] == "extra_forbidden":
        name, known = str(first["loc"][-1]), field_names(kind) if kind else []
        near = get_close_matches(name, known, n=1)
        expected, found = "a known key", f"the unknown key {key!r}"
        hint = f"{name!r} is a key, but not in this place. " if name in known else ""
        fix = (hint or (f"Did you mean {near[0]!r}? " if near else "")) + (see or "Correct the key.")
    elif first["type"] == "missing":
        expected, found = f"the key {key!r}", "none"
    more = f" ({len(errors) - 1} more don't fit.)" if len(errors) > 1 else ""
    return VideoJamError(
        expected=expected, found=found, where=f"{where}: {key}" if key else where, fix=fix + more
    )


def wanted(first: Mapping[str, Any]) -> str:
    """Return what a value should have been, in words that need no pydantic.

    Args:
        first: One of `ValidationError.errors()`.
    """
    words = WANTED.get(first["type"])
    if words is not None:
        bounds = first.get("ctx", {}).items()
        return words.format(**{name: f"{n:g}" if isinstance(n, float) else n for name, n in bounds})
    return str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")


def key_of(first: Mapping[str, Any]) -> str:
    """Return the dotted key of a value that doesn't fit; empty for a combination of values.

    Args:
        first: One of `ValidationError.errors()`.
    """
    return ".".join(str(part) for part in first["loc"])


def _found(first: Mapping[str, Any]) -> str:
    """Return the value that doesn't fit; of values that contradict each other, these and no others of their section."""
    given = first["ctx"]["tag"] if first["type"] == "union_tag_invalid" else first.get("input")
    if first["type"] == "union_tag_not_found":
        return "none"
    if first["type"] == "value_error" and (not first["loc"] or isinstance(given, Mapping | BaseModel)):
        return str(getattr(first["ctx"]["error"], "found", "this combination"))
    words = repr(given)
    shown = words if len(words) <= MAX_SHOWN else f"{words[: MAX_SHOWN - 1]}…"
    return "no value" if given is None else shown


def reason(error: BaseException) -> str:
    """Return what is wrong with a file that can't be read or written, or what the system said, in one line."""
    if isinstance(error, ValidationError):
        return misfit(error)
    for kind, words in SYSTEM.items():
        if isinstance(error, kind):
            return words
    if isinstance(error, UnicodeDecodeError):
        return "bytes that are not UTF-8 text"
    if isinstance(error, KeyError):
        return f"no key {error}"
    said: str | None = getattr(error, "strerror", None)  # of OSError, and of FFmpeg's errors that are none
    return said or (str(error).strip().splitlines() or [type(error).__name__])[0]


def misfit(error: ValidationError) -> str:
    """Return what was found in place of the first value that doesn't fit, for files that videojam wrote."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"text that is not JSON ({first['ctx']['error']})"
    key = key_of(first)
    if first["type"] in ("missing", "extra_forbidden"):
        return f"no key {key}" if first["type"] == "missing" else f"the unknown key {key}"
    if first["type"] in ("model_type", "dict_type") and not key:
        return f"a {type(first['input']).__name__}, where keys with values were expected"
    if not key:
        return f"values that contradict each other: {wanted(first)} was expected"
    return f"{key} = {_found(first)}, where {wanted(first)} was expected"


def field_names(kind: type[BaseModel]) -> list[str]:
    """Return the names of all fields of a config, those of configs inside of it included."""
    names: list[str] = []
    for name, field in kind.model_fields.items():
        names.append(name)
        for inner in models_in(field.annotation):
            names += field_names(inner)
    return names


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the configs that a field's annotation names."""
    from typing import get_args

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]
