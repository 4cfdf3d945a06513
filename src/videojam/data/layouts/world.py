"""The procedural world as a source: `world:N`, whose clips are drawn from seeds and bring exact flow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from videojam.data.config import WorldSource
from videojam.data.layouts.listing import ListedClip, Listing
from videojam.data.place import WorldPlace
from videojam.data.settings import Bucket, ClipSettings
from videojam.errors import VideoJamError
from videojam.keyvalue import apply_pairs
from videojam.misfits import fitted
from videojam.world import WorldConfig

PREFIX = "world:"


def world_count(text: str, where: str) -> int | None:
    """Return N of `world:N`; None for the name of anything else.

    Args:
        text: As the user wrote it.
        where: Flag or argument it came from, for the message.

    Raises:
        VideoJamError: `world:` without a number of clips.
    """
    if not text.startswith(PREFIX):
        return None
    if not re.fullmatch(r"[1-9]\d{0,8}", text.removeprefix(PREFIX), re.ASCII):
        raise VideoJamError(
            expected="a folder of clips, or world:N with N clips of the procedural world",
            found=repr(text),
            where=where,
            fix="Write for instance world:64.",
        )
    return int(text.removeprefix(PREFIX))


def source_of(path: Path, pairs: Iterable[str] = ()) -> Path | WorldSource:
    """Return what a source's name stands for: the world, or the path that it is.

    Args:
        path: As the user wrote it, such as `world:64`.
        pairs: `key=value` of the world: `seed` of its first clip, and the keys of `data.source.world` in recipes.

    Raises:
        VideoJamError: `world:` without a number, a key or value that the world doesn't have, or keys for a source
            that is not the world.
    """
    num_clips, pairs = world_count(str(path), "SRC"), list(pairs)
    if num_clips is None:
        if pairs:
            raise VideoJamError(
                expected="world:N as the source, which --world is about",
                found=str(path),
                where=f"--world {pairs[0]}",
                fix="Leave --world out, or give world:N with a number of clips.",
            )
        return path
    content: dict[str, Any] = {}
    apply_pairs(content, pairs, "--world")
    given = {key: content.pop(key) for key in ("seed",) if key in content}
    world = fitted(WorldConfig, content, "--world", "docs/data.md lists the keys.")
    return fitted(WorldSource, {**given, "num_clips": num_clips, "world": world}, "--world")


def read_world(source: WorldSource) -> Listing:
    """List the clips of the world: clip i is that of seed `source.seed` + i.

    Raises:
        VideoJamError: a kind of motion has no lawful scene in it.
    """
    listing = Listing("world", Path(f"{PREFIX}{source.num_clips}"))
    for i in range(source.num_clips):
        place = WorldPlace(source.seed + i, source.world)
        listing.add(ListedClip(str(place), place, place.caption), str(place))
    return listing


def own_bucket(source: WorldSource) -> Bucket:
    """Return the size of the world's clips."""
    return Bucket(num_frames=source.num_frames, height=source.height, width=source.width)


def require_own_size(source: WorldSource, settings: ClipSettings) -> None:
    """Refuse another size or rate than the world's, at which its flow would no longer be exact.

    Raises:
        VideoJamError: another size or rate is asked for.
    """
    bucket = own_bucket(source)
    if settings.buckets != (bucket,) or settings.fps != source.fps:
        asked = ", ".join(map(str, settings.buckets))
        raise VideoJamError(
            expected=f"the world's own size and rate, {bucket} at {source.fps:g} fps",
            found=f"{asked} at {settings.fps:g} fps",
            where="the bucket of the world's clips",
            fix="Leave --bucket and --fps out, or set the world's num_frames, size_px, pixel_px and fps (--world).",
        )
