"""Reading and writing video files at their true frame rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from jaxtyping import UInt8
from torch import Tensor

from videojam.errors import CannotWriteError, VideoJamError
from videojam.files import renamed
from videojam.limits import MAX_FPS, MIN_FPS
from videojam.misfits import reason
from videojam.motion.container import VideoPlace, VideoSource, open_video
from videojam.motion.decode import TimedFrame, decode_frames, sample_at
from videojam.motion.scaling import ROUNDED_SCALING
from videojam.motion.timing import Timing, read_timing
from videojam.motion.upright import Fit, shown

CRF = 16
"""x264's constant rate factor, 0 (lossless) to 51: 16 is visually lossless."""


class Clip(NamedTuple):
    """Frames with their rate.

    Attributes:
        frames: uint8 RGB [T, 3, H, W].
        fps: Frames per second.
    """

    frames: UInt8[Tensor, "t 3 h w"]
    fps: float


class VideoInfo(NamedTuple):
    """What a video file says of itself.

    Attributes:
        num_frames: Frames counted in the container; None when it does not say.
        fps: True (average) frame rate; None when nothing in the file states it.
        height: Height as displayed, in px: turned, and in square pixels.
        width: Width as displayed, in px.
        duration_s: Duration of the video stream; None when unknown.
    """

    num_frames: int | None
    fps: float | None
    height: int
    width: int
    duration_s: float | None


def probe_video(path: VideoPlace) -> VideoInfo:
    """Read a file's header and first frame.

    Args:
        path: A video file.

    Raises:
        VideoJamError: If the file is missing, empty, unreadable, or has no video in it.
    """
    with open_video(path) as source:
        _, height, width = shown(next(decode_frames(source)).image, source.pixel_aspect).shape
        return VideoInfo(
            num_frames=source.stream.frames or None,
            fps=source.fps,
            height=height,
            width=width,
            duration_s=source.duration_s,
        )


def read_video(
    path: VideoPlace,
    num_frames: int | None = None,
    fps: float | int | None = None,
    height: int | None = None,
    width: int | None = None,
    start_s: float | int = 0.0,
    fit: Fit = "crop",
) -> Clip:
    """Decode a video file to RGB frames of a constant rate, as they are meant to be seen.

    Frame i is the one whose timestamp is nearest to start_s + i/fps. Without `fps`, a file of a constant rate gives its
    frames as stored; one of a variable rate, or with held frames, is sampled at the rate of its short intervals, and so
    lasts as long as in a player. The display matrix (turned, mirrored) and the shape of the pixels are applied.

    Args:
        path: A video file.
        num_frames: How many frames to return; all by default.
        fps: Rate to return; the file's own by default. A file that does not state its own is taken to have it.
        height: Height to return in px, with `width`: resized (antialiased) to cover, then centre-cropped.
        width: Width to return in px.
        start_s: Where to begin, in s after the first frame.
        fit: "letterbox": the whole picture inside of the size, with black bars, in place of cropping.

    Raises:
        VideoJamError: If the file is missing, empty, unreadable, truncated, without video, shorter than
            asked, or does not state its frame rate and none was given.
    """
    fps, start_s = None if fps is None else float(fps), float(start_s)
    _check_request(path, num_frames, fps, height, width, start_s)
    timing = Timing(fps, False, num_frames or 0) if fps else read_timing(path)
    if timing.fps is None:
        raise VideoJamError(
            expected="a frame rate",
            found="none, neither in the container nor in the stream",
            where=str(path),
            fix="Pass fps (frames per second), or remux the file to mp4 at its true rate.",
        )
    size = None if height is None or width is None else (height, width)
    with open_video(path) as source:
        chosen = islice(_choose(source, timing, start_s), num_frames)
        frames = _stacked(_pixels(chosen, source, size, fit), num_frames or timing.num_frames)
    if len(frames) < (num_frames or 1):
        raise VideoJamError(
            expected=f"at least {num_frames or 1} frames at {timing.fps:g} fps from {start_s:g} s on",
            found=f"{len(frames)} ({len(frames) / timing.fps:.2f} s)",
            where=str(path),
            fix="Ask for fewer frames, a higher fps or an earlier start, or leave the clip out.",
        )
    return Clip(frames, timing.fps)


def write_video(path: str | Path, frames: UInt8[Tensor, "t 3 h w"], fps: float | int, crf: int = CRF) -> None:
    """Write an mp4 that plays in a browser: H.264, yuv420p, bt709, index in front.

    The file appears whole or not at all: it is written under a temporary name and renamed.

    Args:
        path: Where to write; missing folders are made.
        frames: uint8 RGB with even height and width.
        fps: True frame rate, kept as a fraction (23.976 becomes 2997/125).
        crf: x264's constant rate factor; lower is better and larger.

    Raises:
        VideoJamError: If there are no frames, the size is odd, fps is not positive, or the disk refuses.
    """
    path, fps = Path(path), float(fps)
    _check_frames(path, frames, fps)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with renamed(path) as unfinished:
            _encode(unfinished, frames.cpu(), Fraction(fps).limit_denominator(1001), crf)
    except (av.error.FFmpegError, OSError) as error:
        raise CannotWriteError(
            expected="to write the video",
            found=reason(error),
            where=str(path),
            fix="Check free space and permissions of the folder.",
        ) from error


def _choose(source: VideoSource, timing: Timing, start_s: float) -> Iterator[TimedFrame]:
    decoded = decode_frames(source, fallback_fps=timing.fps)
    if not timing.is_constant:
        assert timing.fps is not None
        return sample_at(decoded, timing.fps, start_s)
    # A microsecond, because a start computed as i/fps may round to just after frame i.
    return (frame for frame in decoded if frame.time_s >= start_s - 1e-6)


def _pixels(
    frames: Iterator[TimedFrame], source: VideoSource, size: tuple[int, int] | None, fit: Fit
) -> Iterator[Tensor]:
    """Convert frames; one that is shown twice is converted once."""
    last: TimedFrame | None = None
    pixels, converter = torch.empty(0), VideoReformatter()
    for frame in frames:
        if frame is not last:
            last, pixels = frame, shown(frame.image, source.pixel_aspect, size, fit, converter)
        yield pixels


def _stacked(frames: Iterator[Tensor], expected: int) -> Tensor:
    """Stack frames into one tensor as they come, so that they are never held twice."""
    stack, num = torch.empty(0, 3, 0, 0, dtype=torch.uint8), 0
    for pixels in frames:
        if num == 0:
            stack = pixels.new_empty((max(expected, 1), *pixels.shape))
        elif num == len(stack):
            stack = torch.cat([stack, torch.empty_like(stack)])
        torch.stack([pixels], out=stack[num : num + 1])  # faster than copying a transposed picture
        num += 1
    return stack if num == len(stack) else stack[:num].clone()


def _encode(path: Path, frames: Tensor, rate: Fraction, crf: int) -> None:
    _, _, height, width = frames.shape
    # The name is a temporary one, so the format is named here.
    with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
        # The same frames should give the same file: x264's output depends on the number of threads, and its
        # AVX-512 path, which cpu-independent leaves out, gives other bits from run to run.
        # swscale averages the colours of four pixels, so their place is the middle (1); untagged, it is the left.
        options = {"crf": str(crf), "threads": "1", "x264-params": "cpu-independent=1:chromaloc=1"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        for pixels in frames:
            image = VideoFrame.from_ndarray(pixels.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            yuv = image.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                interpolation=ROUNDED_SCALING,
                threads=1,
            )
            container.mux(stream.encode(yuv))
        container.mux(stream.encode())


def _check_frames(path: Path, frames: Tensor, fps: float) -> None:
    problem = None
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3 or len(frames) == 0:
        problem = (
            "uint8 frames [T, 3, H, W], T ≥ 1",
            f"{frames.dtype} {list(frames.shape)}",
            "Convert them first.",
        )
    elif frames.shape[2] % 2 or frames.shape[3] % 2 or not frames.numel():
        size = f"{frames.shape[2]}×{frames.shape[3]}"
        problem = (
            "even height and width (yuv420p)",
            size,
            "Crop or pad a row or column: frames[..., :-1, :] say.",
        )
    elif not MIN_FPS <= fps <= MAX_FPS:
        rates = f"an fps from {MIN_FPS:g} to {MAX_FPS:g}"
        problem = rates, f"{fps:g}", "Pass the clip's true frame rate."
    if problem:
        expected, found, fix = problem
        raise VideoJamError(expected=expected, found=found, where=str(path), fix=fix)


def _check_request(
    path: VideoPlace,
    num_frames: int | None,
    fps: float | None,
    height: int | None,
    width: int | None,
    start_s: float,
) -> None:
    numbers: dict[str, float | None] = {
        "num_frames": num_frames,
        "fps": fps,
        "height": height,
        "width": width,
    }
    wrong: dict[str, float | None] = {
        name: n for name, n in numbers.items() if n is not None and not (math.isfinite(n) and n > 0)
    }
    if not (math.isfinite(start_s) and start_s >= 0):
        wrong["start_s"] = start_s
    if fps is not None and not MIN_FPS <= fps <= MAX_FPS:
        wrong["fps"] = fps
    if (height is None) != (width is None):
        wrong |= {"height": height, "width": width}
    if wrong:
        raise VideoJamError(
            expected=f"positive numbers, fps {MIN_FPS:g} to {MAX_FPS:g}, height and width together, start_s ≥ 0",
            found=", ".join(f"{name}={n}" for name, n in wrong.items()),
            where=str(path),
            fix="Correct the numbers asked for.",
        )
