"""The clips of a shard: read, filtered by their motion, encoded and written, while workers read ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from videojam.data.clips import ClipContent
from videojam.data.latents import DrawnClip, EncodedPixels, flow_of
from videojam.data.manifest import ManifestRow
from videojam.data.place import Place
from videojam.data.prepare.encoding import EncoderThreads, encoder_threads
from videojam.data.prepare.job import PrepareJob
from videojam.data.prepare.plan import Shard
from videojam.data.prepare.request import PrepareRequest
from videojam.data.prepare.texts import read_texts, text_path
from videojam.data.read import MeasuredClip, MeasureTask, ReadTask, measure_clip, measured
from videojam.data.settings import Bucket, PrepareSettings, parse_bucket
from videojam.data.shards import ShardWriter, new_shard
from videojam.data.workers import in_workers
from videojam.errors import VideoJamError
from videojam.models.encoders import StoredEncoders, pixel_hashes
from videojam.motion.estimators import FlowEstimator

ReadClip = ClipContent | MeasuredClip | VideoJamError
"""What comes of reading a clip: pixels, those and their motion, or the reason why there are none."""


def encode_shards(job: PrepareJob) -> None:
    """Read, measure and encode the clips of shards, one shard after another, while workers read ahead."""
    request = job.request
    tasks = [task for shard in job.shards for task in read_tasks(request.settings, shard, job.places)]
    job.say(f"encoding {len(tasks)} clips with {request.base} on {request.device}")
    done = 0

    def counted() -> Iterator[ReadClip]:
        nonlocal done
        for content in results:
            yield content
            done += 1
            job.progress(done, len(tasks))

    with (
        shard_maker(request, job.facts) as maker,
        closing(in_workers(measure_clip, tasks, request.workers)) as results,
    ):
        contents = counted()
        for shard in job.shards:
            maker.make(shard, contents)
        next(contents, None)  # so that the last clip is counted too


@contextmanager
def shard_maker(request: PrepareRequest, facts: dict[str, Any]) -> Iterator[ShardMaker]:
    """Load the autoencoder, and free it afterwards."""
    settings = request.settings
    # DIS measures where clips are read
    estimator = None if settings.motion.estimator == "dis" else settings.estimator(request.device)
    with StoredEncoders(request.base, request.device, settings.image_to_video).pixels() as model:
        hashes = pixel_hashes(model.pipeline)
        with encoder_threads(model, request.workers) as threads:
            yield ShardMaker(request, facts, threads, estimator, hashes)


@dataclass(frozen=True)
class ShardMaker:
    """Measures, encodes and writes the clips of shards that others read.

    Attributes:
        request: What is prepared.
        facts: All that decides the shards.
        threads: They encode.
        estimator: Of the flow; None where it comes with the clips.
        hashes: Of the autoencoder, and of the image encoder if there is one.
    """

    request: PrepareRequest
    facts: dict[str, Any]
    threads: EncoderThreads
    estimator: FlowEstimator | None
    hashes: dict[str, str]

    def make(self, shard: Shard, contents: Iterator[ReadClip]) -> None:
        """Write a shard.

        Args:
            shard: Its captions are encoded.
            contents: Its clips as they were read, or the reasons why they weren't; no more are taken than it has.
        """
        settings = self.request.settings
        with (
            read_texts(text_path(self.request.out, shard)) as (texts, text_encoder),
            new_shard(shard.path) as writer,
        ):
            set_tiling(
                self.threads.model.pipeline.vae, parse_bucket(shard.rows[0].bucket), settings.tile_above_px
            )
            job = _Job(self.threads, settings, self.estimator, writer, texts)
            for number, row in enumerate(shard.rows):
                job.take(number, row, next(contents))
            job.finish()
            made = {"clips_hash": shard.clips_hash, **self.hashes, "text_encoder": text_encoder}
            counts = {"num_clips": writer.num_rows, "left_out": job.left_out}
            writer.finish({**self.facts, **made, **counts})


def set_tiling(autoencoder: Any, bucket: Bucket, tile_above_px: int | None) -> None:
    """Let an autoencoder encode in tiles, or whole.

    Args:
        autoencoder: Of diffusers.
        bucket: Size of the clips.
        tile_above_px: Pixels a frame above which it does so; None: never.
    """
    if tile_above_px is not None and bucket.height * bucket.width > tile_above_px:
        autoencoder.enable_tiling()
    elif getattr(autoencoder, "use_tiling", False):
        autoencoder.disable_tiling()


class _DrawnRow(NamedTuple):
    """A clip of a shard before it is encoded: its number in the shard, its row, its pixels, its mean speed."""

    number: int
    row: ManifestRow
    clip: DrawnClip
    mean_speed: float


@dataclass
class _Job:
    """A shard that is being made: clips wait until a batch is full, and batches until they are encoded."""

    threads: EncoderThreads
    settings: PrepareSettings
    estimator: FlowEstimator | None
    writer: ShardWriter
    texts: Callable[[int], dict[str, Tensor]]
    left_out: dict[str, str] = field(default_factory=dict)
    waiting: list[_DrawnRow] = field(default_factory=list)
    encoding: deque[tuple[Future[EncodedPixels], list[_DrawnRow]]] = field(default_factory=deque)

    def take(self, number: int, row: ManifestRow, content: ReadClip) -> None:
        """Take a clip as it was read, or the reason why it wasn't."""
        if isinstance(content, VideoJamError):
            self.left_out[row.clip_id] = str(content)
            return
        code = self.settings.motion
        if isinstance(content, ClipContent):
            content = measured(content.video, flow_of(content, self.estimator), code)
        reason = _filtered(content.mean_speed, self.settings)
        if reason:
            self.left_out[row.clip_id] = reason
            return
        drawn = DrawnClip(row.clip_id, row.caption, content.video, content.motion, code.gain)
        self.waiting.append(_DrawnRow(number, row, drawn, content.mean_speed))
        if len(self.waiting) == (self.settings.batch_clips if self.threads.takes_batches else 1):
            self._submit()

    def finish(self) -> None:
        """Encode and write the clips that wait."""
        self._submit()
        while self.encoding:
            self._write()

    def _submit(self) -> None:
        """Have a batch encoded, and write the oldest one where so many are on their way that threads stay busy."""
        if not self.waiting:
            return
        self.encoding.append((self.threads.submit([row.clip for row in self.waiting]), self.waiting))
        self.waiting = []
        while len(self.encoding) > 2 * self.threads.num_threads:
            self._write()

    def _write(self) -> None:
        future, rows = self.encoding.popleft()
        made = future.result()
        for i, (number, row, _, speed) in enumerate(rows):
            tensors = {"x_mean": made.x[i].half(), "x_std": made.x_std[i].half()}
            tensors |= {"d_mean": made.d[i].half(), "d_std": made.d_std[i].half()}
            tensors |= self.texts(number)
            tensors |= {f"image.{name}": value[i] for name, value in made.image.items()}
            self.writer.add(row, speed, tensors)


def _filtered(speed: float, settings: PrepareSettings) -> str:
    low, high = settings.clips.min_motion, settings.clips.max_motion
    if low is not None and speed < low:
        return f"too still: mean speed {speed:.5f} of the diagonal per frame, below min_motion = {low:g}"
    if high is not None and speed > high:
        return f"too wild: mean speed {speed:.5f} of the diagonal per frame, above max_motion = {high:g}"
    return ""


def read_tasks(settings: PrepareSettings, shard: Shard, places: Mapping[str, Place]) -> list[MeasureTask]:
    """Return what is read for a shard, clip by clip.

    Args:
        settings: How clips are read.
        shard: Names them.
        places: Where each clip is.
    """
    tasks = []
    for row in shard.rows:
        bucket = parse_bucket(row.bucket)
        task = ReadTask(
            clip_id=row.clip_id,
            place=places[row.clip_id],
            start_s=row.start_s,
            num_frames=bucket.num_frames,
            height=bucket.height,
            width=bucket.width,
            fps=settings.clips.fps,
            fit=settings.clips.fit,
            with_flow=settings.motion.estimator == "dis",
        )
        tasks.append(MeasureTask(task, settings.motion))
    return tasks
