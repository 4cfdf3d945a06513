"""Under which licence a model may be given away: that of its base, as the base's own card states it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

FIELDS = ("license", "license_name", "license_link")


class Licence(NamedTuple):
    """What a card says of its licence.

    Attributes:
        fields: Of the card's front matter: `license`, and name and link where the Hub doesn't know it.
        found_in: Where it stands; None: it was not found.
    """

    fields: dict[str, str]
    found_in: str | None


def licence_of(folders: list[Path], given: str | None) -> Licence:
    """Return the licence that was given, or else that of the first folder whose card states one.

    Args:
        folders: Where to look for a README.md: the model's folder, then its base's.
        given: As the user gave it.
    """
    if given is not None:
        return Licence({"license": given}, "the command")
    for folder in folders:
        front = front_matter(folder / "README.md")
        fields = {name: str(front[name]) for name in FIELDS if isinstance(front.get(name), str)}
        if "license" in fields:
            return Licence(fields, "the base's README.md")
    return Licence({"license": "other"}, None)


def front_matter(card: Path) -> dict[str, Any]:
    """Return the YAML in front of a card; empty where there is none, or none that can be read."""
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    if not text.startswith("---\n") or "\n---" not in text[4:]:
        return {}
    try:
        content = yaml.safe_load(text[4:].split("\n---", 1)[0])
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}
