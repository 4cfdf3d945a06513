"""Which stretches of a file become clips, and of which size: a pure function of its facts and the settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from videojam.data.facts import ClipFacts
from videojam.data.layouts.listing import ListedClip
from videojam.data.settings import Bucket, ClipSettings
from videojam.errors import VideoJamError


@dataclass(frozen=True)
class PlannedClip:
    """A stretch of a file that becomes a clip of one size.

    Attributes:
        clip_id: Of the listing, with `@START` where a file gives several.
        start_s: In its file, in s.
        bucket: Its size.
    """

    clip_id: str
    start_s: float
    bucket: Bucket


def plan_clips(
    listed: ListedClip, facts: ClipFacts, settings: ClipSettings
) -> tuple[list[PlannedClip], dict[str, VideoJamError]]:
    """Divide a listed clip into clips of the buckets' sizes.

    Args:
        listed: Its name and where it starts and ends.
        facts: Of its file.
        settings: Buckets, rate and cuts.

    Returns:
        The clips, and the scenes that are too short, by name.
    """
    scenes = _scenes(listed, facts, settings)
    is_one = len(scenes) == 1
    planned: list[PlannedClip] = []
    problems: dict[str, VideoJamError] = {}
    for start_s, end_s in scenes:
        bucket = _bucket_of(end_s - start_s, facts, settings)
        name = listed.clip_id if is_one else f"{listed.clip_id}@{start_s:g}"
        if bucket is None or end_s - start_s < settings.min_s:
            problems[name] = _too_short(name, end_s - start_s, settings)
            continue
        starts = _starts(start_s, end_s, bucket, settings)
        several = len(starts) > 1 or not is_one
        planned += [
            PlannedClip(f"{listed.clip_id}@{start:g}" if several else name, start, bucket) for start in starts
        ]
    return planned, problems


def num_frames_in(duration_s: float, fps: float) -> int:
    """Return how many frames 0, 1/fps, 2/fps, … begin before a time; a microsecond spares rounding."""
    return max(0, math.ceil((duration_s - 1e-6) * fps))


def _scenes(listed: ListedClip, facts: ClipFacts, settings: ClipSettings) -> list[tuple[float, float]]:
    """Return start and end of each scene of a listed clip."""
    end_s = facts.duration_s(settings.fps)
    end_s = end_s if listed.end_s is None else min(end_s, listed.end_s)
    if end_s <= listed.start_s:
        return [(listed.start_s, listed.start_s)]
    inside = [cut for cut in facts.cuts_s if listed.start_s < cut < end_s]
    scenes = list(pairwise([listed.start_s, *inside, end_s]))
    return scenes[:1] if settings.cuts == "first" else scenes


def _bucket_of(duration_s: float, facts: ClipFacts, settings: ClipSettings) -> Bucket | None:
    """Return the bucket of the nearest shape, and of these the longest; None if the scene fills none."""
    num_frames = num_frames_in(duration_s, settings.fps)
    fitting = [bucket for bucket in settings.buckets if bucket.num_frames <= num_frames]
    shape = math.log(facts.width / facts.height)

    def order(bucket: Bucket) -> tuple[float, int, int]:
        off = abs(math.log(bucket.width / bucket.height) - shape)
        return round(off, 6), -bucket.num_frames, -bucket.height * bucket.width

    return min(fitting, key=order, default=None)


def _starts(start_s: float, end_s: float, bucket: Bucket, settings: ClipSettings) -> list[float]:
    if settings.windows == "first":
        return [start_s]
    num_windows = num_frames_in(end_s - start_s, settings.fps) // bucket.num_frames
    return [start_s + i * bucket.num_frames / settings.fps for i in range(num_windows)]


def _too_short(name: str, duration_s: float, settings: ClipSettings) -> VideoJamError:
    shortest = min(bucket.num_frames for bucket in settings.buckets)
    num_frames = num_frames_in(duration_s, settings.fps)
    needed = f"at least {shortest} frames at {settings.fps:g} fps ({shortest / settings.fps:.2f} s)"
    return VideoJamError(
        expected=needed if num_frames < shortest else f"at least {settings.min_s:g} s (min_s)",
        found=f"{num_frames} ({duration_s:.2f} s)" if num_frames < shortest else f"{duration_s:.2f} s",
        where=name,
        fix="Give a shorter bucket or a lower fps, or leave the clip out."
        if num_frames < shortest
        else "Lower min_s, or leave the clip out.",
    )
