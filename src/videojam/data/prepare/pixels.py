"""The clips of a shard: read, filtered by their motion, encoded and written, while workers read ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from videojam import fingerprints
from videojam.data.clips import ClipContent
from videojam.data.latents import DrawnClip, encode_pixels, flow_of
from videojam.data.manifest import Manifest, ManifestRow, Progress
from videojam.data.prepare.plan import Shard
from videojam.data.prepare.request import PrepareRequest
from videojam.data.prepare.texts import read_texts, text_path
from videojam.data.read import ReadTask, read_clip
from videojam.data.settings import Bucket, PrepareSettings, parse_bucket
from videojam.data.shards import ShardWriter, new_shard
from videojam.data.workers import in_workers
from videojam.errors import VideoJamError
from videojam.models.encoders import loaded_encoders
from videojam.models.load import LoadedModel
from videojam.motion.decode import Part
from videojam.motion.estimators import FlowEstimator, OnFirstUse


def encode_shards(
    request: PrepareRequest,
    shards: list[Shard],
    manifest: Manifest,
    facts: dict[str, Any],
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    """Read, measure and encode the clips of shards, one shard after another, while workers read ahead."""
    tasks = [task for shard in shards for task in read_tasks(request.settings, shard, manifest.places)]
    say(f"encoding {len(tasks)} clips with {request.base} on {request.device}")
    done = 0

    def counted() -> Iterator[ClipContent | VideoJamError]:
        nonlocal done
        for content in results:
            yield content
            done += 1
            progress(done, len(tasks))

    with (
        shard_maker(request, facts) as maker,
        closing(in_workers(read_clip, tasks, request.workers)) as results,
    ):
        contents = counted()
        for shard in shards:
            maker.make(shard, contents)
        next(contents, None)  # so that the last clip is counted too


@contextmanager
def shard_maker(request: PrepareRequest, facts: dict[str, Any]) -> Iterator[ShardMaker]:
    """Load the autoencoder, and free it afterwards."""
    settings = request.settings
    estimator = None
    if settings.motion.estimator != "dis":  # DIS measures where clips are read
        half = settings.raft_precision == "half"
        kind = settings.motion.estimator
        estimator = OnFirstUse(kind, settings.raft_weights, request.device, half=half)
    with loaded_encoders(request.base, "pixels", request.device) as model:
        yield ShardMaker(request, facts, model, estimator, fingerprints.of_module(model.pipeline.vae))


@dataclass(frozen=True)
class ShardMaker:
    """Measures, encodes and writes the clips of shards that others read.

    Attributes:
        request: What is prepared.
        facts: All that decides the shards.
        model: With its autoencoder.
        estimator: Of the flow; None where it comes with the clips.
        fingerprint: Of the autoencoder.
    """

    request: PrepareRequest
    facts: dict[str, Any]
    model: LoadedModel
    estimator: FlowEstimator | None
    fingerprint: str

    def make(self, shard: Shard, contents: Iterator[ClipContent | VideoJamError]) -> None:
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
            set_tiling(self.model.pipeline.vae, parse_bucket(shard.rows[0].bucket), settings.tile_above_px)
            job = _Job(self.model, settings, self.estimator, writer, texts)
            for number, row in enumerate(shard.rows):
                job.take(number, row, next(contents))
            job.flush()
            made = {
                "clips_hash": shard.clips_hash,
                "autoencoder": self.fingerprint,
                "text_encoder": text_encoder,
            }
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


@dataclass
class _Job:
    """A shard that is being made: clips wait until a batch is full."""

    model: LoadedModel
    settings: PrepareSettings
    estimator: FlowEstimator | None
    writer: ShardWriter
    texts: Callable[[int], dict[str, Tensor]]
    left_out: dict[str, str] = field(default_factory=dict)
    waiting: list[tuple[int, ManifestRow, DrawnClip, float]] = field(default_factory=list)

    def take(self, number: int, row: ManifestRow, content: ClipContent | VideoJamError) -> None:
        """Take a clip as it was read, or the reason why it wasn't."""
        if isinstance(content, VideoJamError):
            self.left_out[row.clip_id] = str(content)
            return
        flow = flow_of(content, self.estimator)
        speed = mean_speed(flow)
        reason = _filtered(speed, self.settings)
        if reason:
            self.left_out[row.clip_id] = reason
            return
        code = self.settings.motion
        drawn = DrawnClip(row.clip_id, row.caption, content.video, code.draw(flow), code.gain)
        self.waiting.append((number, row, drawn, speed))
        if len(self.waiting) == self.settings.batch_clips:
            self.flush()

    def flush(self) -> None:
        """Encode and write the clips that wait."""
        if not self.waiting:
            return
        made = encode_pixels(self.model, [clip for _, _, clip, _ in self.waiting], together=True)
        for i, (number, row, _, speed) in enumerate(self.waiting):
            tensors = {"x_mean": made.x[i].half(), "x_std": made.x_std[i].half()}
            tensors |= {"d_mean": made.d[i].half(), "d_std": made.d_std[i].half()}
            tensors |= self.texts(number)
            tensors |= {f"image.{name}": value[i] for name, value in made.image.items()}
            self.writer.add(row, speed, tensors)
        self.waiting.clear()


def mean_speed(flow: Tensor) -> float:
    """Return the mean speed of a flow `[T-1, 2, H, W]`, as a share of the diagonal per frame."""
    diagonal = (flow.shape[-1] ** 2 + flow.shape[-2] ** 2) ** 0.5
    return float(flow.float().pow(2).sum(1).sqrt().mean()) / diagonal


def _filtered(speed: float, settings: PrepareSettings) -> str:
    low, high = settings.clips.min_motion, settings.clips.max_motion
    if low is not None and speed < low:
        return f"too still: mean speed {speed:.5f} of the diagonal per frame, below min_motion = {low:g}"
    if high is not None and speed > high:
        return f"too wild: mean speed {speed:.5f} of the diagonal per frame, above max_motion = {high:g}"
    return ""


def read_tasks(settings: PrepareSettings, shard: Shard, places: Mapping[str, Path | Part]) -> list[ReadTask]:
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
        tasks.append(task)
    return tasks
