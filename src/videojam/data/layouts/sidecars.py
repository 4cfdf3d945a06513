"""Layouts without a table: a caption's file beside each clip, or in `metas/` for those of `videos/`."""

from __future__ import annotations

from pathlib import Path

from videojam.data.layouts.listing import ListedClip, Listing, name_of
from videojam.errors import VideoJamError
from videojam.motion.clips import find_clips, read_caption


def read_sidecars(root: Path) -> Listing:
    """Read `clip.mp4` with its caption in `clip.txt`, in the folder and those below it."""
    return _read("sidecars", root, root, root)


def read_videos_and_metas(root: Path) -> Listing:
    """Read `videos/clip.mp4` with its caption in `metas/clip.txt`."""
    return _read("videos and metas", root, root / "videos", root / "metas")


def _read(layout: str, root: Path, videos: Path, captions: Path) -> Listing:
    listing = Listing(layout, root)
    for path in find_clips(videos):
        name = name_of(path, root)
        try:
            caption = read_caption(captions / path.relative_to(videos))
        except VideoJamError as error:
            listing.problems[name] = error
        else:
            listing.add(ListedClip(name, path, caption), name)
    return listing
