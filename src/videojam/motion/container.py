"""Opening a video file, or a video that is a part of a larger file, and what can be wrong with it from the outside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from videojam.errors import VideoJamError
from videojam.misfits import reason

# Demuxers of bare frames: the rate that they report is a default (25), not the file's.
_RATELESS_FORMATS = frozenset(
    {"h264", "hevc", "av1", "obu", "m4v", "mjpeg", "mpegvideo", "rawvideo", "image2"}
)


# Demuxers of texts that name other files or addresses, which FFmpeg would open in the clip's place.
_PLAYLISTS = frozenset(
    {"hls", "applehttp", "concat", "dash", "imf", "sdp", "rtsp", "image2", "webm_dash_manifest"}
)
_PROTOCOLS = "file,subfile"
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Part:
    """A video that is a stretch of a larger file, such as a member of an uncompressed tar; it is read in place.

    Attributes:
        path: The larger file.
        name: What the stretch is called in it.
        start: Its first byte.
        size: Its length in bytes.
    """

    path: Path
    name: str
    start: int
    size: int

    def __str__(self) -> str:
        """Say where it is, for error messages."""
        return f"{self.path}: {self.name}"


VideoPlace = str | Path | Part
"""Where a video is: a file, or a part of one."""


@dataclass(frozen=True)
class VideoSource:
    """An open file with its video stream.

    Attributes:
        path: The file, or the part of one, for error messages.
        container: PyAV's container.
        stream: Its first video stream.
        fps: True frame rate; None when nothing in the file states it.
        timed: Whether frames carry timestamps of their own.
    """

    path: Path | Part
    container: InputContainer
    stream: VideoStream
    fps: float | None
    timed: bool

    @property
    def duration_s(self) -> float | None:
        """Duration of the video stream as the header has it; None when it does not say."""
        if not self.timed:
            return None
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        if len(self.container.streams) == 1 and self.container.duration:
            return self.container.duration / av.time_base
        return None

    @property
    def pixel_aspect(self) -> float:
        """Width over height of a pixel as stored; 1 where nothing in the file states it."""
        aspect = self.stream.sample_aspect_ratio
        return float(aspect) if aspect else 1.0


@contextlib.contextmanager
def open_video(path: VideoPlace) -> Iterator[VideoSource]:
    """Open a video file, or a part of a larger file.

    Raises:
        VideoJamError: If the file is missing, empty, not readable as video, or holds only sound.
    """
    path = Path(path) if isinstance(path, str) else path
    file = path.path if isinstance(path, Part) else path
    if not file.is_file():
        found = "a folder" if file.is_dir() else "no such file"
        raise VideoJamError(expected="a video file", found=found, where=str(path), fix="Check the path.")
    if (path.size if isinstance(path, Part) else path.stat().st_size) == 0:
        raise VideoJamError(
            expected="a video file",
            found="an empty file",
            where=str(path),
            fix="Download or export it again.",
        )
    try:
        container = av.open(_address(path), container_options={"protocol_whitelist": _PROTOCOLS})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        _refuse_pointer(path)
        raise VideoJamError(
            expected="a video file that FFmpeg can open",
            found=f"an unreadable or truncated one ({reason(error)})",
            where=str(path),
            fix="Check that it plays; if its download or export was cut short, do it again.",
        ) from error
    with container:
        if _PLAYLISTS.intersection(container.format.name.split(",")):
            raise VideoJamError(
                expected="a video file that holds its pictures",
                found=f"a playlist of other files ({container.format.name})",
                where=str(path),
                fix="Give those files themselves, or join them: ffmpeg -i LIST -c copy NEW.mp4",
            )
        if not container.streams.video:
            held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise VideoJamError(
                expected="a video stream",
                found=f"{held} only",
                where=str(path),
                fix="Remove the file from the data set, or export it with its pictures.",
            )
        stream = container.streams.video[0]
        yield VideoSource(path, container, stream, *_rate(container, stream))


def _refuse_pointer(path: Path | Part) -> None:
    """Say of a Git LFS pointer what it is: a repository was cloned without its large files."""
    if isinstance(path, Part):
        return
    with path.open("rb") as file:
        is_pointer = file.read(len(_LFS_POINTER)) == _LFS_POINTER
    if is_pointer:
        raise VideoJamError(
            expected="a video file",
            found="a Git LFS pointer to one, which was not downloaded",
            where=str(path),
            fix="Run `git lfs pull` in the folder.",
        )


def _rate(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    """Frame rate, and whether the container's timestamps are the file's own."""
    name = container.format.name
    if name in _RATELESS_FORMATS or name.endswith("_pipe"):
        rate = stream.codec_context.framerate
        return (float(rate) if rate else None), False
    measured = stream.average_rate or stream.guessed_rate
    return (float(measured) if measured else None), True


def _address(path: Path | Part) -> str:
    """Return what FFmpeg opens; without a protocol, a name with a colon would be taken for an address."""
    if isinstance(path, Part):
        return f"subfile,,start,{path.start},end,{path.start + path.size},,:{path.path}"
    return f"file:{path}"
