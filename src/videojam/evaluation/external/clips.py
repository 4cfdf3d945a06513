"""What is exported, and the record that ties a judge's file names to the clips they came from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.motion.clips import caption_file, find_clips, read_caption
from videojam.reading import read_table, read_text, same_form
from videojam.sampling.manifest import prompts_of
from videojam.strict import Strict

RECORD = "export.json"
NO_PROMPT_FIX = "Write its prompt there, or give a CSV with the columns file and prompt (--table)."


@dataclass(frozen=True)
class ExportClip:
    """A clip with its prompt.

    Attributes:
        path: mp4 at its true frame rate; its name without ending is the clip's name.
        prompt: What it was asked to show.
    """

    path: Path
    prompt: str

    @property
    def name(self) -> str:
        """The clip's name."""
        return self.path.stem


class ExportRecord(Strict):
    """`export.json`, beside what was exported."""

    judge: str = Field(description="Its name in `external.table`.")
    files: dict[str, str] = Field(description="Name of the clip by the exported file's name, without ending.")
    fps: dict[str, float] = Field(description="Frame rate by the exported file's name.")
    stamps: dict[str, str] = Field({}, description="Size and time of writing of each clip's file, by clip.")
    unmatched: dict[str, str] = Field({}, description="Clips that were left out, with the reason.")


def clips_of_folder(folder: str | Path, table: str | Path | None = None) -> list[ExportClip]:
    """Find the clips of a folder with their prompts: from a table, a .txt beside each, or a generation's manifest.

    Args:
        folder: Holds the clips themselves.
        table: CSV with the columns `file` and `prompt`.

    Raises:
        VideoJamError: no clips, a clip without a prompt, or a table of other columns.
    """
    prompts = _prompts_of_table(Path(table)) if table else {}
    made, clips = prompts_of(folder), []
    for path in find_clips(folder, deep=False):
        prompt = prompts.get(same_form(path.name), prompts.get(same_form(path.stem)))
        if prompt is None and caption_file(path) is None:
            prompt = made.get(path.name)
        clips.append(ExportClip(path, read_caption(path, NO_PROMPT_FIX) if prompt is None else prompt))
    return clips


def write_record(folder: Path, record: ExportRecord, out: Path) -> None:
    """Write the record into a folder that will stand at `out`.

    Raises:
        VideoJamError: nothing was exported.
    """
    if not record.files:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(record.unmatched.items())[:3])
        more = len(record.unmatched) - 3
        raise VideoJamError(
            expected=f"a clip that {record.judge} can judge",
            found=f"none of {len(record.unmatched)}: {reasons}{f'; and {more} more' if more > 0 else ''}",
            where=str(out),
            fix="Give clips that fit; docs/vbench.md says what this judge takes.",
        )
    (folder / RECORD).write_text(record.model_dump_json(indent=2), encoding="utf-8")


def read_record(out: str | Path) -> ExportRecord:
    """Read the record of an exported folder.

    Raises:
        VideoJamError: no record there, or one of another version.
    """
    path = Path(out) / RECORD
    try:
        return ExportRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise VideoJamError(
            expected="the folder of an export, with its export.json",
            found=reason(error),
            where=str(path),
            fix="Give the folder that `videojam judges export` wrote.",
        ) from error


def read_json(path: str | Path) -> object:
    """Read JSON.

    Raises:
        VideoJamError: no such file, or no JSON.
    """
    try:
        return json.loads(read_text(path, "a JSON file"))
    except ValueError as error:
        raise VideoJamError(
            expected="a JSON file",
            found=str(error),
            where=str(path),
            fix="Give the file as the judge wrote it or brings it.",
        ) from error


def _prompts_of_table(table: Path) -> dict[str, str]:
    return {same_form(row["file"]): row["prompt"] for row in read_table(table, ("file", "prompt"))}
