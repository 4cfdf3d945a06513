"""Where a prepared folder came from, so that its clips can be found again; it decides nothing and is never compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videojam.data.config import WorldSource
from videojam.data.manifest import Manifest
from videojam.data.prepare.request import PrepareRequest
from videojam.errors import VideoJamError
from videojam.files import write_text
from videojam.misfits import reason

ORIGIN_NAME = "origin.json"


def write_origin(request: PrepareRequest, manifest: Manifest) -> None:
    """Write source, layout and base of a run of `prepare`.

    Raises:
        VideoJamError: no room or permission.
    """
    source = request.source
    facts: dict[str, Any] = {"base": request.base}
    if isinstance(source, WorldSource):
        facts |= {"source": str(manifest.root), "world": source.model_dump(mode="json")}
    else:
        facts["source"] = str(source.absolute() if source.exists() else source)  # or a hub id
        facts["layout"] = manifest.layout if source.is_dir() else None
    write_text(request.out / ORIGIN_NAME, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Origin:
    """Where a prepared folder came from.

    Attributes:
        source: Path, hub id, or clips of the world.
        layout: Of a folder.
        base: Whose encoders were used.
    """

    source: Path | WorldSource
    layout: str | None
    base: str


def read_origin(folder: Path) -> Origin:
    """Return where a prepared folder came from.

    Raises:
        VideoJamError: the file is missing or can't be read.
    """
    path = folder / ORIGIN_NAME
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        world = WorldSource.model_validate(facts["world"]) if "world" in facts else None
        return Origin(world or Path(facts["source"]), facts.get("layout"), facts["base"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VideoJamError(
            expected="the file that says where a prepared folder came from",
            found=reason(error),
            where=str(path),
            fix="Run the same `videojam data prepare` again: it writes the file and keeps the shards.",
        ) from None
