"""Which layout a source has, and its listing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from videojam.data.config import WorldSource
from videojam.data.layouts.listing import Listing
from videojam.data.layouts.rows import TABLE_SUFFIXES
from videojam.data.layouts.sidecars import read_sidecars, read_videos_and_metas
from videojam.data.layouts.tables import (
    VIDEOS2CAPTION,
    metadata_files,
    prompts_file,
    read_own_table,
    read_prompts_and_videos,
    read_table_file,
    read_videofolder,
    read_videos2caption,
    table_files,
)
from videojam.data.layouts.tars import read_webdataset, require_members, tar_files
from videojam.data.layouts.world import read_world
from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.models.resolve import is_hub_id


class Layout(NamedTuple):
    """A layout of a folder.

    Attributes:
        is_there: Whether a folder has it.
        read: Lists the folder's clips.
    """

    is_there: Callable[[Path], object]
    read: Callable[[Path], Listing]


LAYOUTS = {
    "videofolder": Layout(metadata_files, read_videofolder),
    "prompts and videos": Layout(prompts_file, read_prompts_and_videos),
    "videos2caption": Layout(lambda root: (root / VIDEOS2CAPTION).is_file(), read_videos2caption),
    "webdataset": Layout(tar_files, read_webdataset),
    "table": Layout(table_files, read_own_table),
    "videos and metas": Layout(
        lambda root: (root / "videos").is_dir() and (root / "metas").is_dir(), read_videos_and_metas
    ),
    "sidecars": Layout(lambda root: True, read_sidecars),
}
"""In the order in which they are looked for: the first one that a folder has is taken."""


def list_source(source: Path | WorldSource, layout: str | None = None) -> Listing:
    """List the clips of a folder, of a table, of a tar, of a data set on the hub, or of the world.

    Args:
        source: Its path, the hub id, or which clips of the world.
        layout: Name of a folder's layout; the first that it has if None.

    Raises:
        VideoJamError: no such place, no clip in it, or a table that can't be read.
    """
    if layout is not None and layout not in LAYOUTS:
        raise VideoJamError(
            expected=f"one of {', '.join(LAYOUTS)}",
            found=repr(layout),
            where="layout",
            fix="Correct the name.",
        )
    if isinstance(source, WorldSource):
        if layout is not None:
            raise VideoJamError(
                expected="a folder, whose layout is named",
                found=f"the world, for {layout!r}",
                where="layout",
                fix="Leave the layout out.",
            )
        return read_world(source)
    if source.is_file():
        listing = _read_file(source)
    elif source.is_dir():
        found = (
            LAYOUTS[layout] if layout else next(kind for kind in LAYOUTS.values() if kind.is_there(source))
        )
        listing = found.read(source)
    elif is_hub_id(source):
        return list_source(_downloaded(str(source)), layout)
    else:
        raise VideoJamError(
            expected="a folder of clips, a table, a tar, or the hub id (owner/name) of a data set",
            found="no such folder or file",
            where=str(source),
            fix="Check the path.",
        )
    require_members(listing)
    return listing


def _downloaded(name: str) -> Path:
    """Download a data set from the Hugging Face hub to its cache, and return its folder."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, repo_type="dataset"))
    except Exception as error:  # the hub client raises many kinds: offline, not found, gated, bad name
        raise VideoJamError(
            expected="a folder of clips, a table, a tar, or the hub id of a data set that can be downloaded",
            found=f"no such folder, and the hub says: {reason(error)}",
            where=name,
            fix="Check the spelling and the network, or give a folder that is on this machine.",
        ) from None


def _read_file(source: Path) -> Listing:
    if source.suffix.lower() == ".tar":
        return read_webdataset(source)
    if source.suffix.lower() in TABLE_SUFFIXES:
        return read_table_file(source)
    raise VideoJamError(
        expected=f"a folder of clips, a tar, or a table ({', '.join(TABLE_SUFFIXES)})",
        found=f"a file of another kind ({source.suffix or 'no suffix'})",
        where=str(source),
        fix="Give the folder that holds the clips.",
    )
