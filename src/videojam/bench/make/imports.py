"""Clips made elsewhere: matched to prompts by file name or by a table; what doesn't match is listed."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videojam.bench.folder import Bench, Item, check_same_suite
from videojam.bench.make.arms import arm_of, check_name
from videojam.bench.make.suites import load_suite, normalise
from videojam.bench.manifest import Manifest, begin, read_manifest, write_manifest
from videojam.bench.score.scoring import forget_fits
from videojam.bench.work import held
from videojam.errors import CannotWriteError, VideoJamError
from videojam.limits import MAX_FPS, MIN_FPS
from videojam.motion.as_mp4 import copy_as_mp4
from videojam.motion.clips import find_clips
from videojam.motion.video import VideoInfo
from videojam.reading import read_table, same_form
from videojam.sampling.manifest import prompts_of

SEED_SUFFIX = re.compile(r"[-_ ]s?(\d{1,3})$")
CUT_BYTES = 30
"""From this length on, a file's name that is the beginning of one prompt is taken for it."""
KEPT = ("L", "M", "N", "So")
"""Unicode categories of what a name is compared by: letters with their marks, digits, and emoji."""


@dataclass(frozen=True)
class Matching:
    """How clips from elsewhere belong to prompts.

    Attributes:
        table: CSV that goes before the names.
        fps: True frame rate of files that state another, or no frame rate.
        any_length: Score clips of every length. By default the most frequent length is the arm's, and clips of another
            one are in no figure.
    """

    table: Path | None = None
    fps: float | None = None
    any_length: bool = False


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        num_clips: Clips that the arm now has.
        unmatched: Files that belong to no prompt, or can't be read, with the reason.
        missing: Clips of the suite for which there was no file.
        frames: How many of the imported clips have each number of frames, the most frequent first.
    """

    num_clips: int
    unmatched: dict[str, str]
    missing: tuple[str, ...]
    frames: dict[int, int] = field(default_factory=dict)


def import_into(
    out: Path,
    clips: Path,
    name: str,
    *,
    suite: str | None = None,
    num_seeds: int | None = None,
    matching: Matching | None = None,
    follow: Callable[[int, int], None] = lambda done, total: None,
) -> ImportReport:
    """Copy a folder of clips into the bench of a folder, or begin one with them; see `import_clips`.

    Args:
        out: Folder of the bench.
        clips: As in `import_clips`.
        name: As in `import_clips`.
        suite: Suite of a bench that doesn't exist yet; another one than the bench's is refused.
        num_seeds: Clips of each prompt; those of the bench, or 1 of a new one, if not given.
        matching: How the files belong to prompts.
        follow: As in `import_clips`.

    Raises:
        VideoJamError: as `import_clips`; another run writes into the folder.
    """
    with held(out), _begun(out, suite, num_seeds) as bench:
        return import_clips(bench, clips, name, matching, follow=follow)


def _begun(out: Path, suite: str | None, num_seeds: int | None) -> AbstractContextManager[Bench]:
    """Begin a bench, or open the one that is there, whose prompts and seeds stay where none are given."""
    asked, path = None if suite is None else load_suite(suite), out / "bench.json"
    if path.exists():
        own = Bench.open(out).file
        if asked is not None:
            check_same_suite(path, own.suite, asked)
        return Bench.begun(out, own.suite, num_seeds or own.num_seeds)
    if asked is None:
        raise VideoJamError(
            expected="a bench folder, or a suite to begin one with",
            found="no bench.json, and no --suite",
            where=str(out),
            fix="Give the --out of a `videojam bench run`, or the prompts of the clips: --suite FILE.",
        )
    return Bench.begun(out, asked, num_seeds or 1)


def import_clips(
    bench: Bench,
    clips: str | Path,
    name: str,
    matching: Matching | None = None,
    *,
    follow: Callable[[int, int], None] = lambda done, total: None,
) -> ImportReport:
    """Copy a folder of clips into a bench as an arm.

    A file belongs to a prompt if its name is the prompt, its words joined by anything, or its id; a number at the
    end (`-0`, `_s1`) is the seed. A table says it outright: CSV with `file`, `id` or `prompt`, and maybe `seed`. Of the
    folder of a `videojam generate`, the manifest says it: the n-th clip of a prompt has the seed n − 1.

    Args:
        bench: Where to.
        clips: Folder; its subfolders are looked at too.
        name: The arm.
        matching: How the files belong to prompts.
        follow: Called with the number of files that were looked at, and of all that belong to a prompt.

    Raises:
        VideoJamError: no clips, a name or rate that can't be, an arm of that name made otherwise, or a table that
            can't be read.
    """
    clips, matching = Path(clips), matching or Matching()
    fps, any_length = matching.fps, matching.any_length
    check_name(name, "--name")
    if fps is not None and not MIN_FPS <= fps <= MAX_FPS:
        raise VideoJamError(
            expected=f"a frame rate from {MIN_FPS:g} to {MAX_FPS:g}",
            found=f"{fps:g}",
            where="--fps",
            fix="Give the true rate of the clips in frames per second, as 24, or leave --fps out.",
        )
    spec = arm_of(name, {"source": str(clips), "fps": fps})
    paths = {same_form(str(path.relative_to(clips))): path for path in find_clips(clips)}
    old = read_manifest(bench, name)
    if old is not None and old.kind != "import":
        raise VideoJamError(
            expected="a new arm, or one that was imported",
            found=f"an arm whose clips were made by {old.asked.get('source')}",
            where=f"--name {name}",
            fix="Choose another name.",
        )
    asked = _read_prompts(matching.table) if matching.table else {}
    matches, unmatched = _match(bench, paths, asked, {} if matching.table else _made_by_us(clips))
    infos: list[VideoInfo] = []
    for number, (key, file) in enumerate(matches.items(), start=1):
        try:
            infos.append(copy_as_mp4(paths[file], bench.arm_folder(name) / f"{key}.mp4", fps))
        except CannotWriteError:
            raise
        except VideoJamError as error:
            unmatched[file] = f"{error.found} (expected {error.expected})"
        follow(number, len(matches))
    manifest = old or begin(spec, "import", "imported")
    before = _size_of(manifest)
    # The most frequent size and rate are the arm's; a clip that differs is reported when it is scored.
    sizes = Counter((0 if any_length else i.num_frames, i.height, i.width, i.fps) for i in infos)
    if sizes:
        manifest.num_frames, manifest.height, manifest.width, manifest.fps = sizes.most_common(1)[0][0]
    if any_length:
        manifest.num_frames = None
    if _size_of(manifest) != before:
        forget_fits(bench, name)
    manifest.facts = {"imported_from": str(clips), "unmatched": unmatched}
    write_manifest(bench, manifest)
    missing = tuple(item.key for item in bench.items if not bench.clip(name, item).exists())
    frames = dict(Counter(info.num_frames or 0 for info in infos).most_common())
    return ImportReport(len(bench.items) - len(missing), unmatched, missing, frames)


def _size_of(manifest: Manifest) -> dict[str, Any]:
    """Return what each clip of an arm must be to fit."""
    return manifest.model_dump(include={"num_frames", "height", "width", "fps"})


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


def _made_by_us(clips: Path) -> dict[str, tuple[str, int]]:
    """Return (prompt, seed) by file name, of a folder that `videojam generate` wrote; empty for any other."""
    seeds: Counter[str] = Counter()
    made = {}
    for file, prompt in prompts_of(clips).items():
        same = normalise(prompt)
        made[file] = (prompt, seeds[same])
        seeds[same] += 1
    return made


def _match(
    bench: Bench,
    files: Iterable[str],
    table: dict[str, tuple[str, int]],
    made: dict[str, tuple[str, int]],
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the file of each clip, and the reasons for the files that belong to none."""
    index = _index(bench)
    matches: dict[str, str] = {}
    unmatched: dict[str, str] = {}
    for file in files:
        asked = table.get(file) or table.get(Path(file).name) or made.get(file)
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
    """Return what a name is compared by: its letters, digits and emoji in any script, its words one space apart."""
    plain = unicodedata.normalize("NFKC", normalise(text)).casefold()
    return " ".join("".join(c if unicodedata.category(c).startswith(KEPT) else " " for c in plain).split())


def _index(bench: Bench) -> dict[tuple[str, int], list[Item]]:
    """Return the clips by seed and by each name that means their prompt."""
    index: dict[tuple[str, int], list[Item]] = {}
    for item in bench.items:
        text, id_ = item.prompt.text, item.prompt.id
        for name in {_words(text), _words(id_), same_form(normalise(text))} - {""}:
            index.setdefault((name, item.seed), []).append(item)
    return index


def _look_up(index: dict[tuple[str, int], list[Item]], text: str, seed: int) -> list[Item]:
    """Look up a prompt or an id; the whole text counts before its words."""
    return index.get((same_form(normalise(text)), seed)) or index.get((_words(text), seed), [])


def _by_name(index: dict[tuple[str, int], list[Item]], stem: str) -> list[Item]:
    """Look a file's name up, whole and without a seed at its end; then as a name that was cut off."""
    readings = [(stem, 0)]
    if suffix := SEED_SUFFIX.search(stem):
        readings.append((stem[: suffix.start()], int(suffix.group(1))))
    for look_up in (_look_up, _by_prefix):
        for text, seed in readings:
            if found := look_up(index, text, seed):
                return found
    return []


def _by_prefix(index: dict[tuple[str, int], list[Item]], stem: str, seed: int) -> list[Item]:
    """Look up a name that was cut off, as systems do with long prompts."""
    words = _words(stem)
    if len(words.encode()) < CUT_BYTES:
        return []
    found = {
        item.key: item
        for (name, number), items in index.items()
        if number == seed and name.startswith(words)
        for item in items
    }
    return list(found.values())
