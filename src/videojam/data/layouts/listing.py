"""What every layout reader returns: clips with their captions, and the unused ones with their reasons."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from videojam.data.place import Place, WorldPlace
from videojam.errors import VideoJamError
from videojam.motion.clips import caption_line, find_clips
from videojam.motion.container import Part

SPLITS = {"train": "train", "training": "train", "validation": "validation", "valid": "validation",
          "val": "validation", "dev": "validation", "test": "test"}  # fmt: skip
"""Names of splits as data sets write them, and as the manifest does."""


@dataclass(frozen=True)
class ListedClip:
    """A clip before its file is opened.

    Attributes:
        clip_id: Its name below the source, unique; `#START-END` is added where a table names a stretch of a file.
        place: Its file, the part of a tar, or its seed in the world.
        caption: One line of text.
        split: train, validation or test.
        start_s: Where it starts in its file, in s.
        end_s: Where it ends, in s; None at the file's end.
    """

    clip_id: str
    place: Place
    caption: str
    split: str = "train"
    start_s: float = 0.0
    end_s: float | None = None

    def names(self, root: Path) -> tuple[str, str]:
        """Return the names of its file below a root, and of its part of the file; empty for a whole file.

        Args:
            root: Of the source.
        """
        if isinstance(self.place, WorldPlace):
            return "world", f"seed {self.place.seed}"
        if isinstance(self.place, Part):
            return name_of(self.place.path, root), self.place.name
        return name_of(self.place, root), ""


@dataclass
class Listing:
    """Clips of a source in a fixed order.

    Attributes:
        layout: Name of the layout.
        root: The folder below which clips are named.
        clips: Those that can be opened as far as the layout says.
        problems: Why others can't be used, by their name.
    """

    layout: str
    root: Path
    clips: list[ListedClip] = field(default_factory=list)
    problems: dict[str, VideoJamError] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set, repr=False)

    def add(self, clip: ListedClip, where: str) -> None:
        """Add a clip; a second one of the same id is a problem.

        Args:
            clip: To add.
            where: Row or file that names it.
        """
        if clip.clip_id in self._ids:
            self.refuse(
                f"{clip.clip_id} ({where})",
                "each clip once",
                f"a second entry for {clip.clip_id}",
                "Keep one of the two.",
            )
            return
        self._ids.add(clip.clip_id)
        self.clips.append(clip)

    def refuse(self, name: str, expected: str, found: str, fix: str) -> None:
        """Note why a clip can't be used.

        Args:
            name: How the user knows it.
            expected: What a usable clip has.
            found: What this one has.
            fix: What to do.
        """
        self.problems[name] = VideoJamError(expected=expected, found=found, where=name, fix=fix)

    def refuse_unlisted(self, what: str) -> None:
        """Note the video files below the root that no row names.

        Args:
            what: What names the clips, as "metadata.csv".
        """
        used = {os.path.realpath(clip.place) for clip in self.clips if isinstance(clip.place, Path)}
        named = set(self.problems)
        for path in find_clips(self.root, may_be_empty=True):
            name = name_of(path, self.root)
            if name not in named and os.path.realpath(path) not in used:
                self.refuse(name, f"an entry in {what}", "none", "Add one, or leave the clip unused.")


def name_of(path: Path, root: Path) -> str:
    """Return a file's name below the root as text; bytes that aren't UTF-8 are written as hexadecimal escapes."""
    try:
        name = path.relative_to(root)
    except ValueError:
        name = path
    return os.fsencode(name.as_posix()).decode("utf-8", "backslashreplace")


def split_of(name: str) -> str:
    """Return the split that the first folder of a clip's name says; train if it says none."""
    return SPLITS.get(name.partition("/")[0].lower(), "train") if "/" in name else "train"


def text_of(value: object) -> str:
    """Return a caption cell as one line: the first of a list, empty for what is no text."""
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    return caption_line(value) if isinstance(value, str) else ""
