"""Reading a recipe: strict YAML, `key=value` changes, and errors that name the key."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from videojam.errors import VideoJamError
from videojam.keyvalue import apply_pairs, split_pair
from videojam.misfits import explained
from videojam.reading import read_text
from videojam.training.config import TrainConfig

SEE_FIELDS = "`videojam train --fields` lists every key and its meaning."
INT = re.compile(r"[-+]?(?:0|[1-9][\d_]*)$")
FLOAT = re.compile(
    r"[-+]?(?=.*[.eE])(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)

KIND = re.compile(r"(data\.source\.)(?:folder|world|prepared)\.")
"""What pydantic puts into the name of a source's key."""


class RecipeLoader(yaml.SafeLoader):
    """YAML with the numbers that people mean: 1e-5 is one, 010 and 1:30 are words. A key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping.

        Raises:
            ConstructorError: a key stands twice; names its line.
        """
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} a second time", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> float | int:
        """Build a float, or an int where a number such as 1e4 is whole."""
        number = self.construct_yaml_float(node)
        return int(number) if "e" in node.value.lower() and number.is_integer() else number


REPLACED = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
RecipeLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
RecipeLoader.add_implicit_resolver("tag:yaml.org,2002:int", INT, list("-+0123456789"))
RecipeLoader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
RecipeLoader.add_constructor("tag:yaml.org,2002:float", RecipeLoader.construct_number)


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a recipe and apply `key=value` changes (dotted keys, YAML values).

    Types are strict: `true` is no number, and "5" in quotes is a word. A change of `data.source.kind` to another kind
    replaces the recipe's whole source, as the kinds have other keys.

    Raises:
        VideoJamError: the file or a value is not as expected; names the key and suggests a near one.
    """
    text = read_text(path, "a recipe", "Check the path; recipes/ holds examples.")
    content = _parse(text, str(path))
    if not isinstance(content, dict):
        raise VideoJamError(
            expected="keys and values",
            found="an empty file" if content is None else f"{type(content).__name__}",
            where=str(path),
            fix=f"Start from a file of recipes/. {SEE_FIELDS}",
        )
    content = {str(key): value for key, value in content.items()}
    _drop_other_source(content, overrides or [])
    apply_pairs(content, overrides or [], read=_parse)
    try:
        # as JSON, so that strict types still take a list for a tuple and a word for a path
        return TrainConfig.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise _explain(error, str(path)) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise VideoJamError(
            expected="keys that are words, and no anchor inside of itself",
            found=str(error),
            where=str(path),
            fix=f"Write the recipe without it. {SEE_FIELDS}",
        ) from None


def _drop_other_source(content: dict[str, Any], overrides: list[str]) -> None:
    """Leave out the recipe's own source where a change asks for one of another kind, which has other keys.

    Args:
        content: The recipe; changed in place.
        overrides: Its `key=value` changes.
    """
    data = content.get("data")
    source = data.get("source") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(source, dict):
        return
    pairs = (split_pair(pair) for pair in overrides)
    kinds = [value for key, value in pairs if key == "data.source.kind"]
    if kinds and kinds[-1] != source.get("kind"):
        data["source"] = {}


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, RecipeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise VideoJamError(
            expected="YAML in which each key stands once",
            found=" ".join(str(error).split()),
            where=where,
            fix="Correct the line that is named.",
        ) from None


def _explain(error: ValidationError, where: str) -> VideoJamError:
    """Return the error that names the first key that doesn't fit, without the kind of source that pydantic adds."""
    error_of = explained(error, TrainConfig, where, SEE_FIELDS)
    found = VideoJamError(
        expected=KIND.sub(r"\1", error_of.expected),
        found=KIND.sub(r"\1", error_of.found),
        where=KIND.sub(r"\1", error_of.where),
        fix=error_of.fix,
    )
    quotes = "Put a name that looks like a number in quotes. "
    first = error.errors()[0]
    is_number = first["type"] in ("string_type", "path_type") and isinstance(first["input"], int | float)
    fix = (quotes if is_number else "") + found.fix
    return VideoJamError(expected=found.expected, found=found.found, where=found.where, fix=fix)
