"""The colours of arms, once: pages, plots of probes, the app and the studies' pictures read them here."""

from __future__ import annotations

from collections.abc import Sequence

LIGHT = ("#7c8188", "#b9770e", "#0a7d74", "#5562a8", "#a8487a", "#5a7f22", "#8a5a3c", "#2f7fb8")
"""By the arm's place in the report, on a light ground; the eighth is followed by the first."""
DARK = ("#979ca4", "#e0a13a", "#35b8ab", "#93a0ea", "#e08bb8", "#9cc95a", "#cf9c7a", "#72b8e8")
"""The same on a dark ground."""


def colours_of(names: Sequence[str], arms: Sequence[str]) -> list[str]:
    """Return a colour on a light ground for each name: that of the arm of that name, or one of the next."""
    own = [name for name in names if name not in arms]
    places = [arms.index(name) if name in arms else len(arms) + own.index(name) for name in names]
    return [LIGHT[place % len(LIGHT)] for place in places]


def class_of(arm: str, arms: Sequence[str]) -> str:
    """Return the page's class of an arm's colour."""
    return f"arm-{arms.index(arm) % len(LIGHT)}"


def css() -> str:
    """Return the page's rules for the colours."""
    light, dark = (" ".join(f"--c{i}: {c};" for i, c in enumerate(tuple_)) for tuple_ in (LIGHT, DARK))
    classes = " ".join(f".arm-{i} {{ --arm: var(--c{i}); }}" for i in range(len(LIGHT)))
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{classes}"
