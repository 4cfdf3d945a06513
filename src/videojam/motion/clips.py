"""The clips of a folder and their captions: one list of suffixes and one lister for the whole project."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.reading import read_text, same_form

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv",
    ".flv", ".ogv", ".3gp",
)  # fmt: skip
"""What counts as a clip, in any case of letters; FFmpeg reads all of them."""

COMPANIONS = (".motion", ".side")
"""`clip.motion.mp4` and `clip.side.mp4` beside `clip.mp4` show what a model predicted; they are no clips."""

CAPTION_FIX = "Write one line of text that describes the clip."


def is_video(path: Path) -> bool:
    """Whether a file's name is that of a clip: a video suffix in any case, and not hidden."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def find_clips(folder: str | Path, *, deep: bool = True, may_be_empty: bool = False) -> list[Path]:
    """List the clips of a folder, sorted by path; hidden files and folders, and companions, are no clips.

    A folder that is reached by a symbolic link is searched too, once. A link to a missing file is listed, so that
    reading it says so.

    Args:
        folder: Where to look.
        deep: Whether its subfolders are searched too.
        may_be_empty: Return an empty list where there is no clip.

    Raises:
        VideoJamError: no such folder, no permission, or no clip in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VideoJamError(
            expected="a folder of video files",
            found="a file" if folder.exists() else "no such folder",
            where=str(folder),
            fix="Give the folder that holds the clips.",
        )
    found = sorted(path for place in _places(folder, deep) for path in _clips_of(place))
    if not found and not may_be_empty:
        raise VideoJamError(
            expected=f"video files ({', '.join(suffix[1:] for suffix in VIDEO_SUFFIXES)})",
            found="none",
            where=str(folder),
            fix="Give the folder that holds the clips, or put them there.",
        )
    return found


def caption_file(clip: Path) -> Path | None:
    """Return the caption's file beside a clip (`clip.txt` for `clip.mp4`), or None.

    A suffix in other letters (`clip.TXT`) and another Unicode form of the name are found too.
    """
    plain = clip.with_suffix(".txt")
    if plain.is_file() or not clip.parent.is_dir():
        return plain if plain.is_file() else None
    wanted = same_form(clip.stem)
    others = (path for path in clip.parent.iterdir() if path.suffix.lower() == ".txt")
    return next((path for path in sorted(others) if same_form(path.stem) == wanted), None)


def read_caption(clip: Path, fix: str = CAPTION_FIX) -> str:
    """Read the caption beside a clip, as one line.

    Args:
        clip: The video file.
        fix: What the user can do where there is none.

    Raises:
        VideoJamError: the caption is missing, empty or not UTF-8 text.
    """
    path = caption_file(clip)
    expected = f"a caption in {clip.with_suffix('.txt').name}"
    if path is None:
        raise VideoJamError(expected=expected, found="no such file", where=str(clip), fix=fix)
    try:
        caption = caption_line(read_text(path))
    except VideoJamError as error:
        raise VideoJamError(expected=expected, found=error.found, where=str(clip), fix=fix) from None
    if not caption:
        raise VideoJamError(expected=expected, found="an empty file", where=str(clip), fix=fix)
    return caption


def caption_line(text: str) -> str:
    """Return a caption's text as one line, without a byte order mark."""
    return " ".join(text.removeprefix("\ufeff").split())


def _places(folder: Path, deep: bool) -> Iterator[Path]:
    """Yield a folder and its visible subfolders, each once however many links lead to it."""
    waiting, seen = [folder], set()
    while waiting:
        place = waiting.pop()
        identity = place.stat()
        if (identity.st_dev, identity.st_ino) in seen:
            continue
        seen.add((identity.st_dev, identity.st_ino))
        yield place
        if deep:
            waiting += sorted(
                (path for path in _listed(place) if path.is_dir() and not path.name.startswith(".")),
                reverse=True,
            )


def _clips_of(place: Path) -> Iterator[Path]:
    videos = [path for path in _listed(place) if is_video(path) and not path.is_dir()]
    stems = {path.stem for path in videos}
    for path in videos:
        stem, companion = os.path.splitext(path.stem)
        if companion not in COMPANIONS or stem not in stems:
            yield path


def _listed(place: Path) -> list[Path]:
    try:
        return list(place.iterdir())
    except OSError as error:
        raise VideoJamError(
            expected="a folder that can be listed",
            found=reason(error),
            where=str(place),
            fix="Change its permissions, or move it away from the clips.",
        ) from None
