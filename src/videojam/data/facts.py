"""What a clip's file says of itself, read without decoding more than its first frame."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from videojam import fingerprints
from videojam.data.cuts import CutRule
from videojam.data.layouts.listing import ListedClip
from videojam.data.place import Place, WorldPlace
from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.motion.container import Part, open_video
from videojam.motion.decode import check_packets
from videojam.motion.timing import read_timing
from videojam.motion.video import probe_video

CHUNK_BYTES = 2**20
MAX_HELD = 1000
"""A picture that is shown for longer than so many others has a broken time stamp."""
MAX_FRAME_PX = 2**26
"""A frame of 8192 × 8192; a larger one is a broken header, or fills the memory."""


@dataclass(frozen=True)
class ClipFacts:
    """Facts of a file.

    Attributes:
        fps: Frame rate at which every frame is shown at its time; None where nothing in the file states it.
        is_constant: Whether the file has that rate throughout.
        num_frames: Frames at that rate.
        height: As displayed, in px.
        width: As displayed, in px.
        content_hash: SHA-256 of the bytes.
        cuts_s: Times of scene cuts, in s; empty where they weren't looked for.
    """

    fps: float | None
    is_constant: bool
    num_frames: int
    height: int
    width: int
    content_hash: str
    cuts_s: tuple[float, ...] = ()

    def duration_s(self, fallback_fps: float) -> float:
        """Return how long it lasts, in s.

        Args:
            fallback_fps: Rate of a file that doesn't state its own.
        """
        return self.num_frames / (self.fps or fallback_fps)


@dataclass(frozen=True)
class FactsTask:
    """What is asked of a file.

    Attributes:
        clip: Any clip of the file.
        cut_rule: How scene cuts are found; None: they aren't looked for.
    """

    clip: ListedClip
    cut_rule: CutRule | None = None

    def __str__(self) -> str:
        """Name the file, for errors."""
        return self.clip.clip_id


def read_facts(task: FactsTask) -> ClipFacts:
    """Read what a clip's file says of itself, and check that all of it is there.

    Raises:
        VideoJamError: it is unreadable, truncated, without video, or too large to be a clip.
    """
    place = task.clip.place
    content = content_hash(place)
    if isinstance(place, WorldPlace):
        world = place.world
        return ClipFacts(world.fps, True, world.num_frames, world.side_px, world.side_px, content)
    _check_size(place)
    info = probe_video(place)
    num_packets = check_packets(place)
    timing = read_timing(place)
    if timing.num_frames > MAX_HELD * num_packets:
        raise VideoJamError(
            expected=f"time stamps without gaps: at most {MAX_HELD} frames at {timing.fps:g} fps for each stored one",
            found=f"{timing.num_frames} for {num_packets}",
            where=str(place),
            fix="Write them anew: ffmpeg -i CLIP -vf setpts=N/FRAME_RATE/TB NEW",
        )
    cuts = () if task.cut_rule is None else tuple(task.cut_rule.find(place))
    return ClipFacts(
        timing.fps, timing.is_constant, timing.num_frames, info.height, info.width, content, cuts
    )


def _check_size(place: Path | Part) -> None:
    with open_video(place) as source:
        width, height = source.stream.codec_context.width, source.stream.codec_context.height
    if width * height > MAX_FRAME_PX:
        raise VideoJamError(
            expected=f"frames of {MAX_FRAME_PX:,} px at most",
            found=f"{width}×{height} px",
            where=str(place),
            fix="Scale the clip down, for instance: ffmpeg -i CLIP -vf scale=1920:-2 NEW",
        )


def content_hash(place: Place) -> str:
    """Return the SHA-256 of a file's bytes, of a part's, or of all that decides a clip of the world.

    Raises:
        VideoJamError: it can't be read.
    """
    if isinstance(place, WorldPlace):
        return place.content_hash
    file, start, size = (place.path, place.start, place.size) if isinstance(place, Part) else (place, 0, None)
    digest = hashlib.sha256()
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe or a device might never end
            raise OSError("no plain file")
        with file.open("rb") as stream:
            if size is None:
                return fingerprints.of_file(file)
            stream.seek(start)
            while size > 0 and (chunk := stream.read(min(size, CHUNK_BYTES))):
                digest.update(chunk)
                size -= len(chunk)
    except OSError as error:
        raise VideoJamError(
            expected="a video file that can be read",
            found=reason(error),
            where=str(place),
            fix="Change its permissions or its link, or remove it from the folder.",
        ) from None
    return digest.hexdigest()
