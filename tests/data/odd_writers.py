"""Writers of the odd clips of odd_files.py, as other programs and accidents make them; and what a reading has wrong.

Every whole file shows the same scene: 12 frames at 8 fps, a red square at the top left, a blue one at the bottom right,
and between them a grey that gets brighter from frame to frame, so that a frame says its number and its orientation.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np

NUM_FRAMES, FPS, HEIGHT, WIDTH = 12, 8, 48, 64
DARKEST, STEP = 40, 15


def scene(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return the scene, uint8 `[12, height, width, 3]`."""
    frames = np.empty((NUM_FRAMES, height, width, 3), np.uint8)
    frames[:] = (DARKEST + STEP * np.arange(NUM_FRAMES)).reshape(-1, 1, 1, 1)
    frames[:, : height // 3, : width * 2 // 5] = (200, 30, 30)
    frames[:, -(height // 3) :, -(width * 2 // 5) :] = (30, 30, 200)
    return frames


def problems_of(frames: np.ndarray) -> list[str]:
    """Say what is wrong with the first frames of the scene as they were read, uint8 `[n, 3, h, w]`."""
    values = frames.astype(float)
    _, _, height, width = values.shape
    middle = values[:, :, height * 4 // 10 : height * 6 // 10, width * 4 // 10 : width * 6 // 10].mean(
        (1, 2, 3)
    )
    wanted = DARKEST + STEP * np.arange(len(values))
    found = [
        f"grey {a:.0f} in place of {b}" for a, b in zip(middle, wanted, strict=True) if abs(a - b) > STEP / 2
    ]
    corner = (
        values[:, :, : height // 6, : width // 6].mean((0, 2, 3)),
        values[:, :, -(height // 6) :, -(width // 6) :].mean((0, 2, 3)),
    )
    for (what, channel), colour in zip((("red", 0), ("blue", 2)), corner, strict=True):
        if colour[channel] < 120 or colour[2 - channel] > 100:
            found.append(f"{what} corner is {colour.round()}")
    return found


def encode(
    path: Path,
    frames: np.ndarray | None = None,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = FPS,
    times_s: list[float] | None = None,
    shift: int = 0,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    form: str | None = None,
    prepare: Callable[[av.video.stream.VideoStream], object] = lambda stream: None,
    sound: bool = False,
    num_streams: int = 1,
) -> Path:
    """Write a file as other programs would."""
    frames = scene() if frames is None else frames
    with av.open(str(path), "w", format=form, options=muxer or {}) as container:
        streams = [container.add_stream(codec, rate=fps) for _ in range(num_streams)]
        for number, stream in enumerate(streams):
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pix_fmt
            if codec.startswith("libx264"):
                stream.options = {"preset": "ultrafast", "threads": "1", **(options or {})}
            elif options:
                stream.options = options
            if times_s is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if number == 0:
                prepare(stream)
        voice = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for stream in streams:
            for packet in _packets(stream, frames, times_s):
                if shift and packet.pts is not None:
                    unit = round(1 / (fps * packet.time_base))
                    packet.pts, packet.dts = packet.pts + shift * unit, packet.dts + shift * unit
                container.mux(packet)
        if voice is not None:
            write_sound(container, voice)
    return path


def _packets(stream, frames, times_s):
    for i, pixels in enumerate(frames):
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        if times_s is not None:
            image.pts, image.time_base = round(1000 * times_s[i]), Fraction(1, 1000)
        yield from stream.encode(image)
    yield from stream.encode()


def write_sound(container, stream) -> None:
    for start in range(0, 16000, 1024):
        wave = np.sin(np.arange(start, start + 1024) * 0.1).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        write_sound(container, container.add_stream("aac", rate=16000, layout="mono"))


def turned(path: Path, matrix: tuple[int, int, int, int], turn: Callable[[np.ndarray], np.ndarray]) -> None:
    """Store the scene turned, with the display matrix that turns it back."""
    a, b, c, d = (65536 * value for value in matrix)
    encode(
        path,
        np.ascontiguousarray(turn(scene())),
        prepare=lambda stream: stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30]),
    )


def narrow(path: Path) -> None:
    """Half as many columns, each shown twice as wide."""

    def widen(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    encode(path, np.ascontiguousarray(scene()[:, :, ::2]), prepare=widen)


def interlaced(path: Path) -> None:
    def flag(stream):
        stream.options = {"preset": "ultrafast", "threads": "1", "x264-params": "tff=1"}

    encode(path, prepare=flag)


def with_packets_of_noise(path: Path) -> None:
    """Bytes in the middle of the picture data are others."""
    noise = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    encode(path, noise, muxer={"movflags": "+faststart"})
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + len(content) // 3
    content[start : start + 600] = bytes(255 - value for value in content[start : start + 600])
    path.write_bytes(content)


def shortened(path: Path, share: float, **how) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    encode(path, noise, **how)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def without_index(path: Path) -> None:
    """An AVI whose index was lost, as when a recorder is switched off."""
    encode(path, codec="mpeg4")
    content = bytearray(path.read_bytes())
    start = content.rindex(b"idx1")
    content[start : start + 4] = b"JUNK"
    path.write_bytes(content)


def with_broken_table(path: Path) -> None:
    """The table of samples of an mp4 is overwritten."""
    encode(path, muxer={"movflags": "+faststart"})
    content = bytearray(path.read_bytes())
    start = content.index(b"stsz")
    content[start + 4 : start + 40] = b"\xff" * 36
    path.write_bytes(content)


def enormous(path: Path) -> None:
    """A header of 9000 × 9000 px."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = 9000, 9000, "monob"
        image = av.VideoFrame(9000, 9000, "monob")
        for packet in (*stream.encode(image), *stream.encode()):
            container.mux(packet)


def zipped(path: Path) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("clip.mp4", b"x" * 5000)
    path.write_bytes(buffer.getvalue())


def picture(path: Path) -> None:
    encode(path, scene()[:1], codec="mjpeg", pix_fmt="yuvj420p", form="image2")


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def linked(path: Path) -> None:
    """A link to a clip outside of the folder."""
    outside = path.parent.parent / "outside"
    outside.mkdir(exist_ok=True)
    path.symlink_to(encode(outside / "clip.mp4", options={"crf": "9"}))
