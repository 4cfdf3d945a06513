"""What a judge that runs elsewhere is: clips laid out as it reads them, and its results read back."""

from __future__ import annotations

import csv
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from videojam.errors import CannotWriteError, VideoJamError
from videojam.evaluation.external.clips import ExportClip, ExportRecord, read_record, write_record
from videojam.evaluation.external.table import external_judge
from videojam.evaluation.judge import Measure
from videojam.files import written_whole
from videojam.motion.as_mp4 import copy_as_mp4
from videojam.store import stamp_of

NO_PROMPT = "its prompt is not among the judge's"


@dataclass(frozen=True)
class ExportOptions:
    """What some judges need besides the clips.

    Attributes:
        prompts: The judge's own list of prompts.
        run: Name of a run's folder.
    """

    prompts: Path | None = None
    run: str = "model-op-run_01"


@dataclass(frozen=True)
class ImportedScores:
    """What a judge found.

    Attributes:
        judge: Its name.
        clips: Measures by clip; empty for a judge that scores whole runs only.
        run: Measures of the whole run, where the judge's file has them.
        missing: Clips that were exported and have no result.
        unknown: Results of files that were not exported.
        stamps: Of the exported clips' files, by clip: whether a clip is still the one that was judged.
    """

    judge: str
    clips: dict[str, dict[str, float]]
    run: dict[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    stamps: dict[str, str] = field(default_factory=dict)


class ExternalJudge(ABC):
    """One judge: how its clips are named and laid out, and what its result files say.

    A subclass and a line of `external.table` are all that a judge needs.

    Attributes:
        name: In the table and in the scores.
        measures: Of single clips; none for a judge that scores whole runs only.
        prompts: What `--prompts` must be; empty where the judge takes any prompt.
        results: The files that it writes, in the order in which they are read.
    """

    name: ClassVar[str]
    measures: ClassVar[tuple[Measure, ...]]
    prompts: ClassVar[str] = ""
    results: ClassVar[tuple[str, ...]]

    def export(
        self,
        clips: Sequence[ExportClip],
        out: str | Path,
        options: ExportOptions | None = None,
        follow: Callable[[int, int], None] = lambda done, total: None,
    ) -> ExportRecord:
        """Write clips as the judge reads them, with `export.json`, whole or not at all.

        Args:
            clips: Those that the judge can't take, or that can't be read, are left out, with the reason.
            out: Folder to write.
            options: What the judge needs besides.
            follow: Called with the number of clips that were written or left out, and of all.

        Returns:
            The record: which file is which clip.

        Raises:
            VideoJamError: no prompts where the judge needs them, or of another layout; no clip that it can take; the
                folder exists, no room or no permission.
        """
        options, out = options or ExportOptions(), Path(out)
        if self.prompts and options.prompts is None:
            raise VideoJamError(
                expected=f"the prompts of {self.name}: {self.prompts}",
                found="None",
                where="--prompts",
                fix="Give that file; it comes with the judge.",
            )
        chosen, left_out = self.choose(clips, options)
        with written_whole(out) as folder:
            rates: dict[str, float] = {}
            for number, (name, clip) in enumerate(chosen.items(), start=1):
                try:
                    rates[name] = self.place(clip, folder, name, options)
                except CannotWriteError:
                    raise
                except VideoJamError as error:
                    left_out[clip.name] = f"{error.found} (expected {error.expected})"
                follow(number, len(chosen))
            placed = {name: chosen[name] for name in rates}
            record = ExportRecord(
                judge=self.name,
                files={name: clip.name for name, clip in placed.items()},
                fps=rates,
                stamps={clip.name: stamp_of(clip.path) or "" for clip in placed.values()},
                unmatched=left_out,
            )
            write_record(folder, record, out)
            self.index(placed, rates, folder, out)
        return record

    def choose(
        self, clips: Sequence[ExportClip], options: ExportOptions
    ) -> tuple[dict[str, ExportClip], dict[str, str]]:
        """Return the clips by the names that the judge's files have, and the reasons of those it can't take.

        Raises:
            VideoJamError: two clips of one name.
        """
        names = [clip.name for clip in clips]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise VideoJamError(
                expected="clips of different names",
                found=f"{twice[0]} twice",
                where="export",
                fix="Rename one.",
            )
        return dict(zip(names, clips, strict=True)), {}

    def place(self, clip: ExportClip, folder: Path, name: str, options: ExportOptions) -> float:
        """Write one clip's file and return its frame rate.

        Raises:
            VideoJamError: it can't be read or taken; it is then left out.
        """
        return copy_as_mp4(clip.path, folder / "videos" / f"{name}.mp4").fps or 0.0  # an mp4 has a rate

    def index(  # noqa: B027 - most judges read nothing but the clips
        self, clips: dict[str, ExportClip], fps: dict[str, float], folder: Path, out: Path
    ) -> None:
        """Write what the judge reads beside the clips.

        Args:
            clips: By the name of the file, without ending.
            fps: The same.
            folder: Where to write.
            out: Where the folder will stand at the end.
        """

    @abstractmethod
    def read(self, record: ExportRecord, paths: Sequence[Path]) -> ImportedScores:
        """Read its result files, as many as `results` says.

        Raises:
            VideoJamError: another file, or a score that isn't a finite number.
        """


def import_results(export: str | Path, *results: str | Path) -> ImportedScores:
    """Read the results of an exported folder.

    Args:
        export: The folder that was exported.
        results: What its judge wrote, in the order that `ExternalJudge.results` says.

    Raises:
        VideoJamError: no export, other files than the judge's, or a score that isn't a finite number.
    """
    record = read_record(export)
    judge = external_judge(record.judge)
    if len(results) != len(judge.results):
        raise VideoJamError(
            expected=f"{' and '.join(judge.results)} of {judge.name}",
            found=f"{len(results)} file{'' if len(results) == 1 else 's'}",
            where="results",
            fix="Give them in that order.",
        )
    return judge.read(record, [Path(path) for path in results])


def by_prompt(
    clips: Sequence[ExportClip], name_of_prompt: dict[str, str]
) -> tuple[dict[str, ExportClip], dict[str, str]]:
    """Name clips by a judge's own names of prompts.

    Args:
        clips: Any.
        name_of_prompt: By prompt as `folded` gives it.

    Returns:
        The clips by those names, and the reasons of the others.
    """
    chosen: dict[str, ExportClip] = {}
    left_out: dict[str, str] = {}
    for clip in clips:
        take(chosen, left_out, clip, name_of_prompt.get(folded(clip.prompt)))
    return chosen, left_out


def take(chosen: dict[str, ExportClip], left_out: dict[str, str], clip: ExportClip, name: str | None) -> None:
    """Take a clip under a name, or say why not: no name, or one that another clip has."""
    if name is None:
        left_out[clip.name] = NO_PROMPT
    elif name in chosen:
        left_out[clip.name] = f"{name} is {chosen[name].name} already"
    else:
        chosen[name] = clip


def by_clip(record: ExportRecord, found: dict[str, dict[str, float]]) -> ImportedScores:
    """Return scores by the clips' own names, from scores by the exported files' names."""
    clips = {record.files[name]: scores for name, scores in found.items() if name in record.files}
    missing = tuple(sorted(set(record.files.values()) - clips.keys()))
    unknown = tuple(sorted(found.keys() - record.files.keys()))
    return ImportedScores(record.judge, clips, {}, missing, unknown, record.stamps)


def add_score(found: dict[str, dict[str, float]], name: str, measure: str, value: Any, where: Path) -> None:
    """Add one score of one file to those found.

    Raises:
        VideoJamError: it isn't a finite number, or the file has a score of this measure already.
    """
    scores = found.setdefault(name, {})
    if measure in scores:
        raise VideoJamError(
            expected=f"each clip once, and one {measure} of it",
            found=f"{name} twice",
            where=str(where),
            fix="Keep the line that is right, and remove the other one.",
        )
    scores[measure] = number(value, f"{where}: {name}")


def number(value: Any, where: str) -> float:
    """Return a finite number.

    Raises:
        VideoJamError: it isn't one.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise VideoJamError(
            expected="a finite score",
            found=repr(value)[:60],
            where=where,
            fix="Judge this clip again, or remove its line.",
        )
    return found


def wrong_layout(path: Path, expected: str) -> VideoJamError:
    """Return the error of a file that is not the judge's."""
    return VideoJamError(
        expected=expected, found="another layout", where=str(path), fix="Give the file that the judge wrote."
    )


def write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Write a table with a header line."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def folded(prompt: str) -> str:
    """Return a prompt without what spreadsheets change: case, and the width and ends of white space."""
    return " ".join(prompt.split()).casefold()
