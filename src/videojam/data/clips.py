"""One interface over every source: numbered clips with a caption, and flow where the source knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, UInt8
from torch import Tensor

from videojam import fingerprints
from videojam.data.config import FolderSource, PreparedSource, WorldSource
from videojam.data.facts import content_hash
from videojam.data.layouts.detect import list_source
from videojam.data.layouts.listing import ListedClip
from videojam.data.place import WorldPlace, require_there
from videojam.data.plan import num_frames_in
from videojam.data.rates import is_even
from videojam.errors import VideoJamError
from videojam.motion.container import Part
from videojam.motion.timing import Timing, read_timing
from videojam.motion.video import read_video

GONE_FIX = (
    "Put it back and start again: a run goes on from its last checkpoint. A run that has begun needs all its clips; to "
    "leave this one out, start a run with another out folder."
)


@dataclass(frozen=True)
class ClipContent:
    """A clip as read: pixels, and exact flow or none.

    Attributes:
        video: Pixels.
        flow: (u, v) in px/frame from each frame to the next; None where it must be estimated.
        own_fps: Frame rate of the file; None where it has none, or there is no file.
    """

    video: UInt8[Tensor, "t 3 h w"]
    flow: Float[Tensor, "t-1 2 h w"] | None
    own_fps: float | None = None


@dataclass(frozen=True)
class ClipEntry:
    """A clip before it is read.

    Attributes:
        name: How the user knows it (file, or world seed).
        fingerprint: Hash of its content and of how it is read; the same clip has the same fingerprint.
        caption: Its text.
        read: Reads it; raises VideoJamError. Of a file longer than the clip, its argument says where the clip begins:
            0 (default) as early, 1 as late as it can.
        own_fps: Reads the frame rate of its file, and decodes nothing; raises VideoJamError. None where it has none.
    """

    name: str
    fingerprint: str
    caption: str
    read: Callable[..., ClipContent]
    own_fps: Callable[[], float | None] = lambda: None

    @property
    def key(self) -> str:
        """Hash of the clip's content, of how it is read, and of its caption."""
        return fingerprints.of_text(f"{self.fingerprint} {self.caption}")[:32]


def list_clips(source: FolderSource | WorldSource | PreparedSource) -> tuple[list[ClipEntry], dict[str, str]]:
    """List a source's clips in a fixed order, and those left out with their reasons.

    Raises:
        VideoJamError: the folder is missing or holds no video; or a caption is missing and the source
            says to stop.
    """
    if isinstance(source, PreparedSource):
        raise VideoJamError(
            expected="clips with their pixels",
            found="a prepared folder, which holds latents",
            where=str(source.path),
            fix="Give the folder of clips that was prepared.",
        )
    return _world_clips(source) if isinstance(source, WorldSource) else _folder_clips(source)


def rates_of_files(
    entries: list[ClipEntry], source: FolderSource | WorldSource, left_out: dict[str, str]
) -> dict[str, float | None]:
    """Return the frame rate of each clip's file, of clips that are read in the steps; nothing is decoded.

    Args:
        entries: All clips.
        source: Whether a clip whose file can't be opened stops the run.
        left_out: Gets the clips that are left out, with the reason.

    Raises:
        VideoJamError: a file can't be opened or is of a refused rate, and the source says to stop.
    """
    rates = {}
    for entry in entries:
        try:
            rates[entry.name] = entry.own_fps()
        except VideoJamError as error:
            if not isinstance(source, FolderSource) or source.on_error == "stop":
                raise
            left_out[entry.name] = str(error)
    return rates


def _world_clips(source: WorldSource) -> tuple[list[ClipEntry], dict[str, str]]:
    def entry(seed: int) -> ClipEntry:
        place = WorldPlace(seed, source.world)

        def read(where: float = 0.0) -> ClipContent:
            clip = place.draw()
            return ClipContent(clip.video, clip.flow)

        return ClipEntry(str(place), place.content_hash, place.caption, read)

    return [entry(source.seed + i) for i in range(source.num_clips)], {}


def _folder_clips(source: FolderSource) -> tuple[list[ClipEntry], dict[str, str]]:
    listing = list_source(source.path)
    if source.on_error == "stop" and listing.problems:
        raise _or_skip(next(iter(listing.problems.values())))
    left_out = {str(listing.root / name): str(error) for name, error in listing.problems.items()}
    entries: list[ClipEntry] = []
    first: dict[str, str] = {}
    for clip in listing.clips:
        name = str(listing.root / clip.clip_id)
        if clip.split != "train":
            left_out[name] = f"it belongs to the split {clip.split!r}"
            continue
        try:
            entry = _file_clip(name, clip, source)
            _refuse_copy(entry, first.setdefault(entry.key, name))
            entries.append(entry)
        except VideoJamError as error:
            if source.on_error == "stop":
                raise
            left_out[name] = str(error)
    return entries, left_out


def _refuse_copy(entry: ClipEntry, original: str) -> None:
    """Refuse a clip with the content, caption and stretch of an earlier one: it would be counted twice."""
    if original != entry.name:
        raise VideoJamError(
            expected="each clip once",
            found=f"the same bytes and caption as {original}",
            where=entry.name,
            fix="Remove one of the two, or set data.source.on_error=skip.",
        )


def _file_clip(name: str, clip: ListedClip, source: FolderSource) -> ClipEntry:
    start_s, place = source.start_s + clip.start_s, clip.place
    assert not isinstance(place, WorldPlace)  # a folder lists none

    def timed() -> tuple[Timing, float | None, float]:
        """Return the file's times, the rate at which it is read (None: as stored), and the rate of the clip."""
        require_there(place, clip.clip_id, GONE_FIX)
        timing = read_timing(place)
        fps = _rate_of(place, timing.fps, source)
        rate = fps or timing.fps or source.fps
        _check_end(clip, start_s, rate, source.num_frames)
        return timing, fps, rate

    def read(where: float = 0.0) -> ClipContent:
        timing, fps, rate = timed()
        size = (source.height, source.width)
        begin_s = start_s
        if where:
            file_s = timing.num_frames / (timing.fps or rate)
            end_s = file_s if clip.end_s is None else min(clip.end_s, file_s)  # a table may say a later one
            begin_s += where * max(0.0, end_s - start_s - source.num_frames / rate)
        frames = read_video(place, source.num_frames, fps, *size, start_s=begin_s).frames
        return ClipContent(frames, None, timing.fps)

    how = source.model_dump_json(exclude={"path", "on_error"})
    if (clip.start_s, clip.end_s) != (0.0, None):
        how += f" {clip.start_s}-{clip.end_s}"
    fingerprint = fingerprints.of_text(f"{content_hash(place)} {how}")
    return ClipEntry(name, fingerprint, clip.caption, read, lambda: timed()[0].fps)


def _check_end(clip: ListedClip, start_s: float, fps: float, num_frames: int) -> None:
    """Refuse a stretch that a table cuts off before the clip's last frame."""
    if clip.end_s is not None and num_frames_in(clip.end_s - start_s, fps) < num_frames:
        raise VideoJamError(
            expected=f"at least {num_frames} frames at {fps:g} fps from {start_s:g} s on",
            found=f"an end at {clip.end_s:g} s",
            where=clip.clip_id,
            fix="Ask for fewer frames or a higher fps, or leave the clip out.",
        )


def _or_skip(error: VideoJamError) -> VideoJamError:
    return VideoJamError(
        expected=error.expected,
        found=error.found,
        where=error.where,
        fix=f"{error.fix.rstrip('.')}, or set data.source.on_error=skip.",
    )


def _rate_of(file: Path | Part, own_fps: float | None, source: FolderSource) -> float | None:
    """Return the rate at which a file is read; None for its own."""
    if own_fps is None or is_even(own_fps, source.fps, source.num_frames):
        return source.fps
    if source.uneven_rate == "refuse":
        raise VideoJamError(
            expected=f"a frame rate that is {source.fps:g} fps or a multiple of it (data.source.uneven_rate=refuse)",
            found=f"{own_fps:g} fps",
            where=str(file),
            fix="Choose data.source.fps to fit, set uneven_rate to resample or native, or leave the clip out.",
        )
    return None if source.uneven_rate == "native" else source.fps
