"""The manifest of a data set: one row a clip, with all that is known of it before it is encoded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from videojam.data.config import WorldSource
from videojam.data.cuts import CutRule
from videojam.data.facts import ClipFacts, FactsTask, read_facts
from videojam.data.layouts.detect import list_source
from videojam.data.layouts.listing import ListedClip, Listing
from videojam.data.layouts.world import require_own_size
from videojam.data.place import Place
from videojam.data.plan import plan_clips
from videojam.data.settings import ClipSettings
from videojam.data.workers import Run, WorkerConfig, in_workers
from videojam.errors import VideoJamError
from videojam.files import write_text

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ManifestRow:
    """A clip that can be used.

    Attributes:
        clip_id: Unique name.
        source: Its file, below the source's folder where it lies there; `world` for a clip of the world.
        member: Name in a tar, or `seed N` in the world; empty for a file.
        caption: One line.
        split: train, validation or test.
        start_s: Where it starts in the file, in s.
        end_s: Where it ends; the file's or the table's end where no size was asked for.
        fps: Frame rate of the file; None where it states none.
        height: As displayed, in px.
        width: As displayed, in px.
        num_frames: Frames of the file at its own rate.
        content_hash: SHA-256 of the file's bytes.
        bucket: Size that it will have, FRAMESxHEIGHTxWIDTH; empty where none was asked for.
    """

    clip_id: str
    source: str
    member: str
    caption: str
    split: str
    start_s: float
    end_s: float
    fps: float | None
    height: int
    width: int
    num_frames: int
    content_hash: str
    bucket: str = ""


@dataclass
class Manifest:
    """A data set before it is encoded.

    Attributes:
        layout: How the source is laid out.
        root: Its folder.
        rows: Clips that can be used, in a fixed order.
        places: Where each row's clip is, by `clip_id`.
        problems: Why others are unused, by name.
    """

    layout: str
    root: Path
    rows: list[ManifestRow] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    problems: dict[str, VideoJamError] = field(default_factory=dict)

    @property
    def unused_share(self) -> float:
        """Share of what was found that can't be used."""
        return len(self.problems) / max(1, len(self.problems) + len(self.rows))


def make_manifest(
    source: Path | WorldSource,
    settings: ClipSettings | None = None,
    *,
    layout: str | None = None,
    workers: WorkerConfig | None = None,
    progress: Progress = lambda done, total: None,
    run: Run = in_workers,
) -> Manifest:
    """List a source, read what each file says of itself, and divide it into clips.

    Args:
        source: Folder, table, tar, or which clips of the world.
        settings: Sizes and cuts; None: each file is one clip of its own size.
        layout: Name of the folder's layout; detected if None.
        workers: Processes and time limit.
        progress: Called with (files read, files in all).
        run: What applies a function to files.

    Raises:
        VideoJamError: no such place, no clip in it, or another size than that of the world's clips.
    """
    if isinstance(source, WorldSource):
        if settings is not None:
            require_own_size(source, settings)
        run, workers = in_workers, None  # nothing to read
    listing = list_source(source, layout)
    manifest = Manifest(listing.layout, listing.root, problems=dict(listing.problems))
    rule = None
    if settings is not None and settings.cuts != "ignore" and not isinstance(source, WorldSource):
        rule = CutRule(settings.cut_rule, settings.cut_threshold)
        rule.require()
    config = workers or WorkerConfig()
    facts = _facts_of_files(listing, rule, lambda function, tasks: run(function, tasks, config), progress)
    for clip in listing.clips:
        found = facts[str(clip.place)]
        if isinstance(found, VideoJamError):
            manifest.problems[clip.clip_id] = found
        else:
            _add(manifest, clip, found, settings)
    _refuse_copies(manifest)
    return manifest


def write_manifest(path: Path, rows: Sequence[ManifestRow]) -> Path:
    """Write a manifest as JSONL, one clip a line.

    Raises:
        VideoJamError: no room or permission.
    """
    return write_text(path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))


def _facts_of_files(
    listing: Listing, rule: CutRule | None, run: Callable[..., Iterator[Any]], progress: Progress
) -> dict[str, ClipFacts | VideoJamError]:
    """Read each file once, however many clips a table names in it."""
    firsts = {str(clip.place): clip for clip in reversed(listing.clips)}
    tasks = [FactsTask(clip, rule) for clip in reversed(firsts.values())]
    facts: dict[str, ClipFacts | VideoJamError] = {}
    for task, found in zip(tasks, run(read_facts, tasks), strict=True):
        facts[str(task.clip.place)] = found
        progress(len(facts), len(tasks))
    return facts


def _add(manifest: Manifest, clip: ListedClip, facts: ClipFacts, settings: ClipSettings | None) -> None:
    if settings is None:
        end_s = facts.num_frames / (facts.fps or 25.0)
        end_s = end_s if clip.end_s is None else min(end_s, clip.end_s)
        _append(manifest, clip, facts, clip.clip_id, (clip.start_s, end_s), "")
        return
    planned, problems = plan_clips(clip, facts, settings)
    manifest.problems |= problems
    for plan in planned:
        end_s = plan.start_s + plan.bucket.num_frames / settings.fps
        _append(manifest, clip, facts, plan.clip_id, (plan.start_s, end_s), str(plan.bucket))


def _append(
    manifest: Manifest,
    clip: ListedClip,
    facts: ClipFacts,
    clip_id: str,
    span_s: tuple[float, float],
    bucket: str,
) -> None:
    source, member = clip.names(manifest.root)
    manifest.rows.append(
        ManifestRow(
            clip_id=clip_id,
            source=source,
            member=member,
            caption=clip.caption,
            split=clip.split,
            start_s=span_s[0],
            end_s=span_s[1],
            fps=facts.fps,
            height=facts.height,
            width=facts.width,
            num_frames=facts.num_frames,
            content_hash=facts.content_hash,
            bucket=bucket,
        )
    )
    manifest.places[clip_id] = clip.place


def _refuse_copies(manifest: Manifest) -> None:
    """Leave out clips whose content, caption and stretch an earlier one has: they would be counted twice."""
    first: dict[tuple[str, str, float], str] = {}
    kept = []
    for row in manifest.rows:
        original = first.setdefault((row.content_hash, row.caption, row.start_s), row.clip_id)
        if original == row.clip_id:
            kept.append(row)
            continue
        manifest.problems[row.clip_id] = VideoJamError(
            expected="each clip once",
            found=f"the same bytes and caption as {original}",
            where=row.clip_id,
            fix="Remove one of the two.",
        )
    manifest.rows = kept
