"""Clips made elsewhere: matched to prompts by file name or by a table, and what doesn't match is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from videojam.bench.folder import Bench, Item
from videojam.bench.make.arms import ArmSpec
from videojam.bench.make.suites import normalise
from videojam.bench.manifest import begin, read_manifest, write_manifest
from videojam.errors import VideoJamError
from videojam.motion.as_mp4 import copy_as_mp4
from videojam.motion.clips import find_clips
from videojam.motion.video import VideoInfo
from videojam.reading import read_table, same_form

SEED_SUFFIX = re.compile(r"[-_ ]s?(\d{1,3})$")


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        num_clips: Clips that the arm now has.
        unmatched: Files that belong to no prompt, or can't be read, with the reason.
        missing: Clips of the suite for which there was no file.
    """

    num_clips: int
    unmatched: dict[str, str]
    missing: tuple[str, ...]


def import_clips(
    bench: Bench, clips: str | Path, name: str, *, table: Path | None = None, fps: float | None = None
) -> ImportReport:
    """Copy a folder of clips into a bench as an arm.

    A file belongs to a prompt if its name is the prompt, its words joined by anything, or its id; a number at the
    end (`-0`, `_s1`) is the seed. A table says it outright: CSV with `file`, `id` or `prompt`, and maybe `seed`.

    Args:
        bench: Where to.
        clips: Folder; its subfolders are looked at too.
        name: The arm.
        table: CSV that goes before the names.
        fps: True frame rate of files that tell another, or none.

    Raises:
        VideoJamError: no clips, an arm of that name made otherwise, or a table that can't be read.
    """
    clips = Path(clips)
    spec = ArmSpec(name=name, source=str(clips), fps=fps)
    paths = {same_form(str(path.relative_to(clips))): path for path in find_clips(clips)}
    old = read_manifest(bench, name)
    if old is not None and old.kind != "import":
        raise VideoJamError(
            expected="a new arm, or one that was imported",
            found=f"an arm whose clips were made by {old.asked.get('source')}",
            where=f"--name {name}",
            fix="Choose another name.",
        )
    matches, unmatched = _match(bench, paths, _read_prompts(table) if table else {})
    infos: list[VideoInfo] = []
    for key, file in matches.items():
        try:
            infos.append(copy_as_mp4(paths[file], bench.arm_folder(name) / f"{key}.mp4", fps))
        except VideoJamError as error:
            unmatched[file] = f"{error.found} (expected {error.expected})"
    manifest = old or begin(spec, "import", "imported")
    # The most frequent size and rate are the arm's; a clip that differs is told when it is scored.
    sizes = Counter((i.num_frames, i.height, i.width, i.fps) for i in infos)
    if sizes:
        manifest.num_frames, manifest.height, manifest.width, manifest.fps = sizes.most_common(1)[0][0]
    manifest.facts = {"imported_from": str(clips), "unmatched": unmatched}
    write_manifest(bench, manifest)
    missing = tuple(item.key for item in bench.items if not bench.clip(name, item).exists())
    return ImportReport(len(bench.items) - len(missing), unmatched, missing)


def _read_prompts(table: Path) -> dict[str, tuple[str, int]]:
    """Return (id or prompt, seed) by file name."""
    asked = {}
    for row in read_table(table, ("file",)):
        seed = row.get("seed") or "0"
        if not seed.isdecimal():
            raise VideoJamError(
                expected="a whole number as seed",
                found=repr(seed),
                where=f"{table}: {row['file']}",
                fix="Write 0, 1, … in the column seed, or leave it empty.",
            )
        asked[same_form(row["file"])] = (row.get("id") or row.get("prompt") or "", int(seed))
    return asked


def _match(
    bench: Bench, files: Iterable[str], table: dict[str, tuple[str, int]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the file of each clip, and the reasons for the files that belong to none."""
    index = _index(bench)
    matches: dict[str, str] = {}
    unmatched: dict[str, str] = {}
    for file in files:
        asked = table.get(file) or table.get(Path(file).name)
        items = _look_up(index, *asked) if asked else _by_name(index, Path(file).stem)
        if table and not asked:
            unmatched[file] = "not in the table"
        elif len(items) != 1:
            unmatched[file] = "fits several prompts" if items else "fits no prompt of the suite"
        elif items[0].key in matches:
            unmatched[file] = f"the clip {items[0].key} is already {matches[items[0].key]}"
        else:
            matches[items[0].key] = file
    for file in table.keys() - set(files) - {Path(file).name for file in files}:
        unmatched[file] = "in the table, but there is no such file"
    return matches, unmatched


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", normalise(text)))


def _index(bench: Bench) -> dict[tuple[str, int], list[Item]]:
    index: dict[tuple[str, int], list[Item]] = {}
    for item in bench.items:
        for name in {_words(item.prompt.text), _words(item.prompt.id)}:
            index.setdefault((name, item.seed), []).append(item)
    return index


def _look_up(index: dict[tuple[str, int], list[Item]], text: str, seed: int) -> list[Item]:
    return index.get((_words(text), seed), [])


def _by_name(index: dict[tuple[str, int], list[Item]], stem: str) -> list[Item]:
    """Look a file's name up, whole and then with a seed at its end."""
    found = _look_up(index, stem, 0)
    suffix = SEED_SUFFIX.search(stem)
    if not found and suffix:
        found = _look_up(index, stem[: suffix.start()], int(suffix.group(1)))
    return found or _by_prefix(index, stem)


def _by_prefix(index: dict[tuple[str, int], list[Item]], stem: str) -> list[Item]:
    """Look up a name that was cut off, as systems do with long prompts: at least 30 letters, one prompt."""
    words = _words(stem)
    if len(words) < 30:
        return []
    return [
        item
        for (name, seed), items in index.items()
        if seed == 0 and name.startswith(words)
        for item in items
    ]
