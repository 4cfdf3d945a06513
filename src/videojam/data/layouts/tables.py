"""Layouts with a table: Hugging Face's videofolder, a table of one's own, videos2caption.json, prompts and videos."""

from __future__ import annotations

from pathlib import Path

from videojam.data.layouts.listing import Listing
from videojam.data.layouts.rows import TABLE_SUFFIXES, add_rows, has_clip_columns, read_rows
from videojam.errors import VideoJamError
from videojam.reading import read_text

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
VIDEOS2CAPTION = "videos2caption.json"
PROMPTS, VIDEOS = ("prompts.txt", "prompt.txt"), "videos.txt"


def metadata_files(root: Path) -> list[Path]:
    """Return the videofolder metadata of a folder, or of its subfolders (one for each split)."""
    places = (root, *sorted(path for path in root.iterdir() if path.is_dir()))
    return [place / name for place in places for name in METADATA if (place / name).is_file()]


def read_videofolder(root: Path) -> Listing:
    """Read Hugging Face's videofolder: `metadata.csv`, `.jsonl` or `.parquet` beside the clips it names."""
    listing = Listing("videofolder", root)
    for table in metadata_files(root):
        add_rows(listing, read_rows(table), table, (table.parent,))
    listing.refuse_unlisted("the metadata")
    return listing


def table_files(root: Path) -> list[Path]:
    """Return the tables of a folder whose rows name files and captions."""
    tables = sorted(
        path for path in root.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file()
    )
    return [path for path in tables if path.name != VIDEOS2CAPTION and _is_clip_table(path)]


def read_own_table(root: Path) -> Listing:
    """Read the one table of a folder whose columns name files and captions."""
    tables = table_files(root)
    if len(tables) > 1:
        raise VideoJamError(
            expected="one table of clips",
            found=", ".join(table.name for table in tables),
            where=str(root),
            fix="Give the path of the one that is meant.",
        )
    return read_table_file(tables[0], root)


def read_table_file(table: Path, root: Path | None = None) -> Listing:
    """Read one table; names are relative to its folder, or to `videos/` in it."""
    listing = Listing("table", root or table.parent)
    add_rows(listing, read_rows(table), table, (table.parent, table.parent / "videos"))
    listing.refuse_unlisted(table.name)
    return listing


def read_videos2caption(root: Path) -> Listing:
    """Read `videos2caption.json`: a list of objects with `path` and `cap`, the clips in the folder or in `videos/`."""
    listing = Listing("videos2caption", root)
    table = root / VIDEOS2CAPTION
    add_rows(listing, read_rows(table), table, (root, root / "videos"))
    listing.refuse_unlisted(VIDEOS2CAPTION)
    return listing


def prompts_file(root: Path) -> Path | None:
    """Return the file of prompts that stands beside `videos.txt`, or None."""
    if not (root / VIDEOS).is_file():
        return None
    return next((root / name for name in PROMPTS if (root / name).is_file()), None)


def read_prompts_and_videos(root: Path) -> Listing:
    """Read `prompts.txt` and `videos.txt`: line i of one is the caption of line i of the other.

    Raises:
        VideoJamError: the two have different numbers of lines, so that nothing says which belong together.
    """
    prompts = prompts_file(root)
    assert prompts is not None
    captions, names = _lines(prompts), _lines(root / VIDEOS)
    if len(captions) != len(names):
        raise VideoJamError(
            expected=f"as many lines in {prompts.name} as in {VIDEOS}",
            found=f"{len(captions)} and {len(names)}",
            where=str(root),
            fix="Write one caption a line, in the order of the videos.",
        )
    listing = Listing("prompts and videos", root)
    rows = [{"path": name, "caption": caption} for name, caption in zip(names, captions, strict=True)]
    add_rows(listing, rows, root / VIDEOS, (root,))
    listing.refuse_unlisted(VIDEOS)
    return listing


def _lines(path: Path) -> list[str]:
    return read_text(path).rstrip().split("\n")


def _is_clip_table(path: Path) -> bool:
    try:
        return has_clip_columns(read_rows(path))
    except VideoJamError:
        return False  # whatever it is, it names no clips
