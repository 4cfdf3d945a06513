"""Arms: a model with the settings of its samples, as a user writes it on the command line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError

from videojam.errors import VideoJamError
from videojam.keyvalue import apply_pairs
from videojam.misfits import explained
from videojam.sampling.settings import SHORT_NAMES, SampleSettings, read_settings
from videojam.strict import Strict

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
TRUTH = "world:truth"
"""Source of the arm that draws the world's own clips."""
OF_TRUTH = ("num_frames", "height", "width", "fps")
"""Settings that such an arm reads; those of `--set`, which are of every arm, it may pass over."""


class ArmSpec(Strict):
    """What one arm asks for; everything that isn't given comes from the model folder, then from the pipeline."""

    name: str = Field(pattern=NAME, description="Folder name and label of the arm.")
    source: str = Field(min_length=1, description="Pipeline folder, hub id, tiny:NAME or world:truth.")
    pipeline: Literal["auto", "stock"] = Field(
        "auto", description="stock: call the diffusers pipeline as it is, also where its family is known."
    )
    revision: str | None = Field(None, description="Revision of a hub id.")
    settings: SampleSettings = Field(SampleSettings(), description="Of its samples.")

    def asked(self) -> dict[str, Any]:
        """Return what was asked for, flat, as JSON: the same for arms that ask for the same."""
        own = self.model_dump(mode="json", exclude_defaults=True, exclude={"name", "settings"})
        return own | self.settings.model_dump(mode="json", exclude_defaults=True)


def arm_of(name: str, content: Mapping[str, Any], where: str = "an arm") -> ArmSpec:
    """Return an arm of keys and values: those of `ArmSpec`, and beside them those of `SampleSettings`.

    Raises:
        VideoJamError: an unknown key or a value that doesn't fit.
    """
    keys = ("source", "pipeline", "revision")
    own = {key: value for key, value in content.items() if key in keys}
    settings = read_settings({key: value for key, value in content.items() if key not in keys}, where)
    try:
        return ArmSpec(name=name, settings=settings, **own)
    except ValidationError as error:
        raise explained(error, ArmSpec, where, "Write NAME=MODEL,key=value; see docs/bench.md.") from None


def parse_arm(text: str, shared: Sequence[str] = ()) -> ArmSpec:
    """Read an arm: `SOURCE` or `NAME=SOURCE`, then `,key=value` for `pipeline`, `revision` or a setting.

    Args:
        text: As the user wrote it.
        shared: `key=value` of every arm; where the arm sets the key too, the arm's counts.

    Raises:
        VideoJamError: an unknown key, a key that is there twice, or a value that doesn't fit.
    """
    head, *options = text.split(",")
    where = f"arm {text!r}"
    keys = Counter(option.partition("=")[0].strip() for option in options)
    twice = [key for key, count in keys.items() if count > 1 or key == "source"]
    if twice:
        raise VideoJamError(
            expected="each key once", found=", ".join(twice), where=where, fix=f"Give {twice[0]} once."
        )
    every: dict[str, Any] = {}
    own: dict[str, Any] = {}
    apply_pairs(every, shared, "--set")
    apply_pairs(own, options, where)
    name, source = split_head(head)
    check_name(name, where)
    ignored = [key for key in _long(own) if key not in OF_TRUTH] if source == TRUTH else []
    if ignored:
        raise VideoJamError(
            expected=f"{', '.join(OF_TRUTH)} at most: the world's own clips are drawn, not sampled",
            found=", ".join(ignored),
            where=where,
            fix=f"Leave {' and '.join(ignored)} out.",
        )
    return arm_of(name, {**_long(every), **_long(own), "source": source}, where)


def _long(content: dict[str, Any]) -> dict[str, Any]:
    """Return keys by their long names, so that `steps` of an arm goes before `num_steps` of all."""
    return {SHORT_NAMES.get(key, key): value for key, value in content.items()}


def parse_arms(texts: Sequence[str], shared: Sequence[str] = ()) -> list[ArmSpec]:
    """Read arms and check that no two share a name.

    Raises:
        VideoJamError: as `parse_arm`; a name used twice.
    """
    arms = [parse_arm(text, shared) for text in texts]
    for name, count in Counter(arm.name for arm in arms).items():
        if count > 1:
            raise VideoJamError(
                expected="another name for each arm",
                found=f"{name!r} {count} times",
                where="the models of the bench",
                fix="Write NAME=MODEL, as: fast=path/to/model,steps=10 slow=path/to/model,steps=50",
            )
    return arms


def split_head(head: str) -> tuple[str, str]:
    """Return (name, source) of `NAME=SOURCE` or `SOURCE`, whose name is the last part of the path or hub id."""
    name, equals, source = head.partition("=")
    if equals:
        return name.strip(), source.strip()
    last = head.rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "model", head.strip()


def check_name(name: str, where: str) -> None:
    """Refuse a name that can't be a folder's and a label.

    Raises:
        VideoJamError: other characters than letters, digits, dot, underscore and hyphen.
    """
    if not re.fullmatch(NAME, name) or name != name.strip():
        raise VideoJamError(
            expected="a name of letters, digits, dots, underscores and hyphens that begins with a letter or digit",
            found=repr(name),
            where=where,
            fix="Choose such a name: it becomes a folder and a label.",
        )
