"""Measured tables in pages: how figures are written, and the block of a page that a script owns."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def per_cent(value: dict[str, Any]) -> str:
    """A share with its interval: 12 (9–17)."""
    return f"{100 * value['mean']:.0f} ({100 * value['low']:.0f}–{100 * value['high']:.0f})"


def signed(value: dict[str, Any], scale: float = 100, digits: int = 0) -> str:
    """A difference with its interval: -2 (-4 to +1)."""
    mean, low, high = (f"{scale * value[key]:+.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def with_block(page: Path, name: str, lines: list[str]) -> str:
    """Return a page's text with what stands between `<!-- NAME:start -->` and `<!-- NAME:end -->` replaced."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    text = page.read_text()
    if start not in text or end not in text:
        raise SystemExit(f"{page} has no block {start} … {end}")
    block = "\n".join([start, *lines, end])
    return re.sub(f"{re.escape(start)}.*{re.escape(end)}", lambda _: block, text, flags=re.S)
