"""WebDataset: tars whose members of one name are a sample (`0001.mp4`, `0001.txt` or `0001.json`)."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from videojam.data.layouts.listing import ListedClip, Listing, name_of, split_of, text_of
from videojam.data.layouts.rows import CAPTION_COLUMNS, column_of
from videojam.errors import VideoJamError
from videojam.motion.clips import VIDEO_SUFFIXES, caption_line
from videojam.motion.container import Part

CAPTION_SUFFIXES = (".txt", ".caption", ".cap", ".json")
MAX_CAPTION_BYTES = 2**20


@dataclass
class _Sample:
    video: Part | None = None
    texts: dict[str, bytes] = field(default_factory=dict)


def tar_files(root: Path) -> list[Path]:
    """Return the tars of a folder."""
    return sorted(path for path in root.rglob("*.tar") if path.is_file() and not path.name.startswith("."))


def read_webdataset(root: Path) -> Listing:
    """Read a folder of tars, or one tar. Members are read in place; nothing is unpacked."""
    listing = Listing("webdataset", root if root.is_dir() else root.parent)
    for tar in tar_files(root) if root.is_dir() else [root]:
        _read_tar(listing, tar, name_of(tar, listing.root))
    return listing


def _read_tar(listing: Listing, tar: Path, name: str) -> None:
    samples: dict[str, _Sample] = {}
    try:
        with tarfile.open(tar, "r:") as archive:  # a compressed one can't be read in place
            for member in archive:
                _take(listing, archive, member, samples, tar, name)
    except (tarfile.TarError, OSError, ValueError) as error:
        listing.refuse(name, "a whole, uncompressed tar", str(error), "Download it again, or decompress it.")
    for key, sample in samples.items():
        clip_id = f"{name}/{key}"
        if sample.video is None:
            listing.refuse(
                clip_id, "a video in the sample", ", ".join(sample.texts), "Add it, or leave it unused."
            )
            continue
        caption = _caption(sample.texts)
        if caption:
            listing.add(ListedClip(clip_id, sample.video, caption, split_of(name)), clip_id)
        else:
            kinds = ", ".join(f"{key}{suffix}" for suffix in CAPTION_SUFFIXES)
            listing.refuse(clip_id, f"a caption in {kinds}", "none", "Add one, in UTF-8.")


def _take(
    listing: Listing,
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    samples: dict[str, _Sample],
    tar: Path,
    name: str,
) -> None:
    """Add one member to its sample."""
    if member.isdir():
        return
    path = PurePosixPath(member.name)
    key, suffix = _key_and_suffix(path)
    if suffix not in (*VIDEO_SUFFIXES, *CAPTION_SUFFIXES) or path.name.startswith("."):
        return
    shown = f"{name}/{path}".encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if path.is_absolute() or ".." in path.parts:
        listing.refuse(shown, "a name inside of the tar", "one that leads out of it", "Pack the tar again.")
    elif not member.isreg():
        listing.refuse(shown, "a plain file", "a link or a device", "Pack the file itself.")
    elif suffix in VIDEO_SUFFIXES:
        sample = samples.setdefault(key, _Sample())
        if sample.video is not None:
            listing.refuse(shown, "one video a sample", "a second one", "Name each clip on its own.")
            return
        sample.video = Part(tar, str(path), member.offset_data, member.size)
    else:
        file = archive.extractfile(member)
        assert file is not None
        samples.setdefault(key, _Sample()).texts[suffix] = file.read(MAX_CAPTION_BYTES)


def _key_and_suffix(path: PurePosixPath) -> tuple[str, str]:
    """Split a member's name at the first dot of its last part, as WebDataset does."""
    stem, _, _ = path.name.partition(".")
    key = str(path.with_name(stem)) if stem else str(path)
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), path.suffix.lower()


def _caption(texts: dict[str, bytes]) -> str:
    for suffix in CAPTION_SUFFIXES:
        try:
            text = texts.get(suffix, b"").decode("utf-8-sig")
            caption = _json_caption(text) if suffix == ".json" else caption_line(text)
        except ValueError:
            continue
        if caption:
            return caption
    return ""


def _json_caption(text: str) -> str:
    content = json.loads(text) if text else {}
    return (
        text_of(content.get(column_of(content, CAPTION_COLUMNS) or "")) if isinstance(content, dict) else ""
    )


def require_members(listing: Listing) -> None:
    """Refuse tars without a single sample.

    Raises:
        VideoJamError: no clip and no reason for one.
    """
    if not listing.clips and not listing.problems:
        raise VideoJamError(
            expected="samples with a video and a caption",
            found="none",
            where=str(listing.root),
            fix="Give tars in WebDataset's layout.",
        )
