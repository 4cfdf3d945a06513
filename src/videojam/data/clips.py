"""One interface over every source: numbered clips with a caption, and flow where the source knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, UInt8
from torch import Tensor

from videojam import fingerprints
from videojam.data.config import FolderSource, WorldSource
from videojam.data.rates import is_even
from videojam.errors import VideoJamError
from videojam.motion.clips import CAPTION_FIX, find_clips, read_caption
from videojam.motion.timing import read_timing
from videojam.motion.video import read_video
from videojam.world import WORLD_VERSION, sample_caption, sample_clip


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
        read: Reads it; raises VideoJamError.
    """

    name: str
    fingerprint: str
    caption: str
    read: Callable[[], ClipContent]

    @property
    def key(self) -> str:
        """Hash of the clip's content, of how it is read, and of its caption."""
        return fingerprints.of_text(f"{self.fingerprint} {self.caption}")[:32]


def list_clips(source: FolderSource | WorldSource) -> tuple[list[ClipEntry], dict[str, str]]:
    """List a source's clips in a fixed order, and those left out with their reasons.

    Raises:
        VideoJamError: the folder is missing or holds no video; or a caption is missing and the source
            says to stop.
    """
    return _world_clips(source) if isinstance(source, WorldSource) else _folder_clips(source)


def _world_clips(source: WorldSource) -> tuple[list[ClipEntry], dict[str, str]]:
    def entry(seed: int) -> ClipEntry:
        def read() -> ClipContent:
            clip = sample_clip(seed, source.world)
            return ClipContent(clip.video, clip.flow)

        identity = f"world {WORLD_VERSION} {seed} {source.world.model_dump_json()}"
        caption = sample_caption(seed, source.world)
        return ClipEntry(f"world seed {seed}", fingerprints.of_text(identity), caption, read)

    return [entry(source.seed + i) for i in range(source.num_clips)], {}


def _folder_clips(source: FolderSource) -> tuple[list[ClipEntry], dict[str, str]]:
    files = find_clips(source.path, "data.source.path")
    entries, left_out = [], {}
    for file in files:
        try:
            entries.append(_file_clip(file, source))
        except VideoJamError as error:
            if source.on_error == "stop":
                raise
            left_out[str(file)] = str(error)
    return entries, left_out


def _file_clip(file: Path, source: FolderSource) -> ClipEntry:
    def read() -> ClipContent:
        own_fps = read_timing(file).fps
        fps = _rate_of(file, own_fps, source)
        size = {"num_frames": source.num_frames, "height": source.height, "width": source.width}
        return ClipContent(read_video(file, fps=fps, start_s=source.start_s, **size).frames, None, own_fps)

    how = source.model_dump_json(exclude={"path", "on_error"})
    caption = read_caption(file, f"{CAPTION_FIX[:-1]}, or set data.source.on_error=skip.")
    return ClipEntry(str(file), fingerprints.of_text(f"{_content(file)} {how}"), caption, read)


def _rate_of(file: Path, own_fps: float | None, source: FolderSource) -> float | None:
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


def _content(file: Path) -> str:
    """Return the hash of a file's bytes."""
    try:
        return fingerprints.of_file(file)
    except OSError as error:
        raise VideoJamError(
            expected="a video file that can be read",
            found=error.strerror or str(error),
            where=str(file),
            fix="Change its permissions or its link, or remove it from the folder.",
        ) from None
