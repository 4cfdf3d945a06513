"""Where a prepared folder came from, so that its clips can be found again; it decides nothing and is never compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from videojam.data.manifest import Manifest
from videojam.data.prepare.request import PrepareRequest
from videojam.errors import VideoJamError
from videojam.files import write_text

ORIGIN_NAME = "origin.json"


def write_origin(request: PrepareRequest, manifest: Manifest) -> None:
    """Write source, layout and base of a run of `prepare`.

    Raises:
        VideoJamError: no room or permission.
    """
    facts = {
        "source": str(
            request.source.absolute() if request.source.exists() else request.source
        ),  # or a hub id
        "layout": manifest.layout if request.source.is_dir() else None,
        "base": request.base,
    }
    write_text(request.out / ORIGIN_NAME, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def read_origin(folder: Path) -> dict[str, Any]:
    """Return source, layout and base of a prepared folder.

    Raises:
        VideoJamError: the file is missing or can't be read.
    """
    path = folder / ORIGIN_NAME
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {"layout": facts.get("layout"), "source": facts["source"], "base": facts["base"]}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise VideoJamError(
            expected="the file that says where a prepared folder came from",
            found=getattr(error, "strerror", None) or str(error),
            where=str(path),
            fix="Run the same `videojam data prepare` again: it writes the file and keeps the shards.",
        ) from None
