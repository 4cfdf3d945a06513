"""What a data set is, in words and numbers: `videojam data check`."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from videojam.data.manifest import Manifest


def check_facts(manifest: Manifest) -> dict[str, Any]:
    """Return what is reported of a manifest, as JSON holds it."""
    rows = manifest.rows
    return {
        "layout": manifest.layout,
        "root": str(manifest.root),
        "num_used": len(rows),
        "num_unused": len(manifest.problems),
        "unused_share": round(manifest.unused_share, 4),
        "duration_s": round(sum(row.end_s - row.start_s for row in rows), 3),
        "splits": dict(Counter(row.split for row in rows)),
        "frame_rates": _counted(f"{row.fps:g}" if row.fps else "not stated" for row in rows),
        "sizes": _counted(f"{row.height}×{row.width}" for row in rows),
        "buckets": dict(sorted(Counter(row.bucket for row in rows if row.bucket).items())),
        "caption_words": round(sum(len(row.caption.split()) for row in rows) / max(1, len(rows)), 1),
        "unused": [{"name": name, "reason": str(error)} for name, error in manifest.problems.items()],
    }


def check_lines(facts: dict[str, Any]) -> list[str]:
    """Write the facts of a manifest as lines for people."""
    lines = [
        f"{facts['root']}: layout {facts['layout']}",
        f"  {facts['num_used']} clips can be used, {facts['num_unused']} can't; {facts['duration_s']:.1f} s in all",
    ]
    for title in ("splits", "frame_rates", "sizes", "buckets"):
        if facts[title]:
            counts = ", ".join(f"{name} ({count})" for name, count in facts[title].items())
            lines.append(f"  {title.replace('_', ' ')}: {counts}")
    if facts["num_used"]:
        lines.append(f"  captions: {facts['caption_words']:g} words on average")
    return lines + [f"  {unused_line(problem['name'], problem['reason'])}" for problem in facts["unused"]]


def unused_line(name: str, reason: str) -> str:
    """Write why a clip is unused, with its name once.

    Args:
        name: Of the clip.
        reason: The error's words, which mostly begin with the name, or with the path that ends in it.
    """
    folder, found, rest = reason.partition(f"{name}: ")
    is_named = bool(found) and (not folder or folder.endswith(os.sep))
    return f"unused: {name}: {rest if is_named else reason}"


def _counted(values: Any) -> dict[str, int]:
    """Count values, the ten most frequent by name and the rest together."""
    counts = Counter(values).most_common()
    rest = sum(count for _, count in counts[10:])
    return dict(counts[:10]) | ({"others": rest} if rest else {})
