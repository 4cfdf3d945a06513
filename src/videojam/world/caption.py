"""The captions of the world: one sentence pattern for each kind, written and parsed by the same table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from videojam.world.config import Kind
from videojam.world.palette import COLOURS

SIDES = ("left", "right")
DIRECTIONS = ("left", "right", "up", "down")
SPINS = ("clockwise", "counterclockwise")
SPEEDS = ("slowly", "quickly")

# Slots: {c0}.. colours bound to parts, {dir} and {back} directions, {spin} sense of rotation, {speed}.
TEMPLATES: dict[Kind, str] = {
    "gait": "a walker with a {c0} body, a {c1} left leg and a {c2} right leg walks {speed} to the {side}",
    "chain": (
        "a chain of a {c0} joint, a {c1} middle joint and a {c2} joint tumbles {spin} {speed} drifting {dir}"
    ),
    "ball": "a {c0} ball bounces {speed} to the {side} over the floor and passes behind a dark pillar",
    "wheel": "a wheel with a {c0} spoke, a {c1} spoke and a {c2} spoke spins {spin} {speed} around its hub",
    "collision": "a {c0} disc moving {dir} and a {c1} disc moving {back} meet {speed} and bounce apart",
}
_CHOICES = {"side": SIDES, "dir": DIRECTIONS, "back": DIRECTIONS, "spin": SPINS, "speed": SPEEDS}


@dataclass(frozen=True)
class CaptionFacts:
    """What a caption says: the kind, its parts' colours in the kind's order, and the motion words."""

    kind: Kind
    colours: tuple[str, ...]
    words: dict[str, str]


def write_caption(facts: CaptionFacts) -> str:
    """Put facts into words."""
    colours = {f"c{i}": name for i, name in enumerate(facts.colours)}
    sentence = TEMPLATES[facts.kind].format(**colours, **facts.words)
    return re.sub(r"\ba orange\b", "an orange", sentence)


def parse_caption(caption: str) -> CaptionFacts | None:
    """Read a caption back; None when it is outside the grammar."""
    text = " ".join(caption.strip().lower().rstrip(".").split()).replace("an orange ", "a orange ")
    for kind, pattern in _PATTERNS.items():
        match = pattern.fullmatch(text)
        if match:
            found = match.groupdict()
            colours = tuple(found[key] for key in sorted(found) if key[0] == "c" and key[1:].isdigit())
            return CaptionFacts(kind, colours, {k: v for k, v in found.items() if k in _CHOICES})
    return None


def vocabulary() -> tuple[str, ...]:
    """Every word that a caption can hold, sorted."""
    fixed = {"an"} | {w for t in TEMPLATES.values() for w in re.sub(r"\{\w+\}|,", " ", t).split()}
    return tuple(sorted(fixed.union(COLOURS, *_CHOICES.values())))


def slot_values(slot: str) -> tuple[str, ...]:
    """Every word that a slot of a template can take."""
    return _CHOICES.get(slot, tuple(COLOURS))


def _pattern(template: str) -> re.Pattern[str]:
    def slot(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"(?P<{name}>{'|'.join(slot_values(name))})"

    return re.compile(re.sub(r"\{(\w+)\}", slot, template))


_PATTERNS: dict[Kind, re.Pattern[str]] = {kind: _pattern(t) for kind, t in TEMPLATES.items()}
