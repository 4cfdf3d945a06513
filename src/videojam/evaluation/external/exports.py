"""Clips in the layout that each judge reads; docs/vbench.md says how far each could be verified."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from videojam.errors import VideoJamError
from videojam.evaluation.external.clips import (
    ExportClip,
    ExportRecord,
    copy_clips,
    read_json,
    write_record,
)
from videojam.motion.video import read_video, write_video
from videojam.reading import read_table

PHYSICS_IQ_S = 5
"""Physics-IQ takes clips of exactly five seconds."""

NO_PROMPT = "its prompt is not among the judge's"


def export_vmbench(clips: Sequence[ExportClip], out: str | Path, prompts: str | Path) -> ExportRecord:
    """Write `videos/<index>.mp4` for `evaluate.sh` of VMBench (Ling et al., 2025, arXiv 2503.10076).

    Args:
        clips: Of VMBench's prompts; others are left out and told.
        out: Folder to write.
        prompts: VMBench's `prompts/prompts.json`, or one like it: index, prompt and subject_noun of each. Its metrics
            look for the subject, so clips of other prompts need a file that names theirs.

    Raises:
        VideoJamError: a file of other keys, or no clip of its prompts.
    """
    items = read_json(prompts)
    keys = {"index", "prompt", "subject_noun"}
    if not isinstance(items, list) or not all(
        isinstance(item, dict) and keys <= item.keys() for item in items
    ):
        raise VideoJamError(
            expected=f"a list of items with {', '.join(sorted(keys))}",
            found="another layout",
            where=str(prompts),
            fix="Give prompts/prompts.json of VMBench.",
        )
    index_of = {_folded(item["prompt"]): str(item["index"]) for item in items}
    return _matched("vmbench", clips, Path(out), index_of)


def export_videophy(clips: Sequence[ExportClip], out: str | Path) -> ExportRecord:
    """Write `videos/` and `input.csv` (caption, videopath) for the raters of VideoPhy and VideoPhy-2.

    Bansal et al., 2024 and 2025 (arXiv 2406.03520, 2503.06800).

    Args:
        clips: Any.
        out: Folder to write.

    Raises:
        VideoJamError: a clip that can't be read, or a name twice.
    """
    out = Path(out)
    rates = copy_clips(_named(clips), out / "videos")
    rows = [(clip.prompt, (out / "videos" / f"{clip.name}.mp4").resolve()) for clip in clips]
    _write_csv(out / "input.csv", ("caption", "videopath"), rows)
    return _record("videophy", out, {clip.name: clip.name for clip in clips}, rates)


def export_physics_iq(
    clips: Sequence[ExportClip], out: str | Path, descriptions: str | Path, run: str = "model-op-run_01"
) -> ExportRecord:
    """Write a run folder of five-second clips for Physics-IQ (Motamed et al., 2025, arXiv 2501.09038).

    Its clips continue given frames, so it is for image-to-video models alone.

    Args:
        clips: Named as its descriptions say (or with the same number in front), or with its prompts.
        out: Folder to write.
        descriptions: Its CSV with scenario, description and generated_video_name.
        run: Name of the run folder: <model>-<bpp|op>-run_<number>.

    Raises:
        VideoJamError: a table of other columns, or no clip that fits.
    """
    out = Path(out)
    rows = read_table(descriptions, ("description", "generated_video_name"))
    names = [row["generated_video_name"].removesuffix(".mp4") for row in rows]
    by_number = {name[:4]: name for name in names}
    by_prompt = {_folded(row["description"]): name for row, name in zip(rows, names, strict=True)}
    files: dict[str, str] = {}
    rates: dict[str, float] = {}
    unmatched: dict[str, str] = {}
    for clip in clips:
        name = (
            by_number.get(clip.name[:4]) if clip.name[:4].isdigit() else by_prompt.get(_folded(clip.prompt))
        )
        if name is None or name in files:
            unmatched[clip.name] = NO_PROMPT if name is None else f"{name} is {files[name]} already"
            continue
        frames, fps = read_video(clip.path)
        num_frames = round(PHYSICS_IQ_S * fps)
        if len(frames) < num_frames:
            unmatched[clip.name] = f"{len(frames) / fps:.2f} s of {PHYSICS_IQ_S}"
            continue
        write_video(out / run / f"{name}.mp4", frames[:num_frames], fps)
        files[name], rates[name] = clip.name, fps
    out.mkdir(parents=True, exist_ok=True)
    return write_record(out, ExportRecord(judge="physics-iq", files=files, fps=rates, unmatched=unmatched))


def export_trajan(clips: Sequence[ExportClip], out: str | Path) -> ExportRecord:
    """Write `videos/` and `clips.csv` for TRAJAN (Allen et al., 2025, arXiv 2505.00209).

    TRAJAN is code that takes arrays, without a folder layout of its own; its results come back as a table.

    Args:
        clips: Any.
        out: Folder to write.

    Raises:
        VideoJamError: a clip that can't be read, or a name twice.
    """
    out = Path(out)
    rates = copy_clips(_named(clips), out / "videos")
    rows = [(f"videos/{clip.name}.mp4", rates[clip.name], clip.prompt) for clip in clips]
    _write_csv(out / "clips.csv", ("file", "fps", "prompt"), rows)
    return _record("trajan", out, {clip.name: clip.name for clip in clips}, rates)


def _matched(
    judge: str, clips: Sequence[ExportClip], out: Path, name_of_prompt: dict[str, str]
) -> ExportRecord:
    chosen: dict[str, ExportClip] = {}
    unmatched = {}
    for clip in clips:
        name = name_of_prompt.get(_folded(clip.prompt))
        if name is None or name in chosen:
            unmatched[clip.name] = NO_PROMPT if name is None else f"{name} is {chosen[name].name} already"
        else:
            chosen[name] = clip
    rates = copy_clips(chosen.items(), out / "videos")
    return _record(judge, out, {name: clip.name for name, clip in chosen.items()}, rates, unmatched)


def _named(clips: Sequence[ExportClip]) -> list[tuple[str, ExportClip]]:
    names = [clip.name for clip in clips]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise VideoJamError(
            expected="clips of different names", found=f"{twice[0]} twice", where="export", fix="Rename one."
        )
    return list(zip(names, clips, strict=True))


def _write_csv(path: Path, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _record(
    judge: str,
    out: Path,
    files: dict[str, str],
    rates: dict[str, float],
    unmatched: dict[str, str] | None = None,
) -> ExportRecord:
    return write_record(out, ExportRecord(judge=judge, files=files, fps=rates, unmatched=unmatched or {}))


def _folded(prompt: str) -> str:
    """A prompt without what spreadsheets change: case, and the width and ends of white space."""
    return " ".join(prompt.split()).casefold()
