"""The one grammar of settings on the command line, `key=value`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import yaml

from videojam.errors import VideoJamError

EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def split_pair(text: str, where: str = "--set") -> tuple[str, str]:
    """Return (key, value) of `key=value`, the value as text; the key may be dotted.

    Args:
        text: As the user wrote it.
        where: Flag or argument it came from, for the message.

    Raises:
        VideoJamError: no `=`, or no key before it.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise VideoJamError(
            expected="key=value",
            found=repr(text),
            where=where,
            fix="Write a key, an equals sign and a value, for instance num_steps=30.",
        )
    return key.strip(), value.strip()


def value_of(text: str, where: str = "--set") -> Any:
    """Return the value that a user means by some text.

    Lists, mappings and quoted words are YAML, `null` and `~` are None, and 1e-5 is a number. All else stays text
    for the config to read by the type of its field, so that `no` is a word where a word is asked for.

    Args:
        text: What stands after the `=`.
        where: For the message.

    Raises:
        VideoJamError: a list, mapping or quoted word that YAML can't read.
    """
    if text in ("null", "~"):
        return None
    if EXPONENT.fullmatch(text):
        return float(text)
    if not text.startswith(("[", "{", '"', "'")):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise VideoJamError(
            expected="a value in YAML, as it begins like one",
            found=" ".join(str(error).split()),
            where=f"{where} {text}",
            fix="Close its brackets and quotes.",
        ) from None


def apply_pairs(
    content: dict[str, Any],
    pairs: Iterable[str],
    where: str = "--set",
    read: Callable[[str, str], Any] = value_of,
) -> None:
    """Put `key=value` words into a mapping, in their order; a dotted key reaches into the mappings below.

    Args:
        content: Changed in place.
        pairs: As the user wrote them; of a key given twice, the last one counts.
        where: For the message.
        read: Reads a value from its text and where it stands; recipes read theirs as the YAML around it.

    Raises:
        VideoJamError: as `split_pair` and `value_of`; a dotted key into something that holds no keys.
    """
    for pair in pairs:
        key, text = split_pair(pair, where)
        *parents, last = key.split(".")
        inner: Any = content
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise VideoJamError(
                    expected=f"{parent} to hold keys",
                    found=repr(inner),
                    where=f"{where} {key}",
                    fix="Give the key without what follows the dot, or its whole value as {key: value}.",
                )
        inner[last] = read(text, f"{where} {key}")
