"""What a run of `prepare` still has to make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from videojam.data.manifest import Progress
from videojam.data.place import Place
from videojam.data.prepare.plan import Shard
from videojam.data.prepare.request import PrepareRequest


@dataclass(frozen=True)
class PrepareJob:
    """Shards that are not there yet.

    Attributes:
        request: What is prepared.
        shards: To make.
        places: Where each clip is, by `clip_id`.
        facts: All that decides the shards besides the clips, by name.
        progress: Called with (clips done, clips in all).
        say: Called with lines for people.
    """

    request: PrepareRequest
    shards: list[Shard]
    places: Mapping[str, Place]
    facts: dict[str, Any]
    progress: Progress
    say: Callable[[str], None]
