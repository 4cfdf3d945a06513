"""The clips of a shard: read, filtered by their motion, encoded and written, while workers read ahead."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
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
from videojam.data.settings import PrepareSettings, parse_bucket
from videojam.data.shards import ShardWriter, new_shard
from videojam.errors import VideoJamError
from videojam.models.encoders import loaded_encoders
from videojam.models.load import LoadedModel
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
    settings = request.settings
    is_dis = settings.motion.estimator == "dis"
    estimator = (
        None if is_dis else OnFirstUse(settings.motion.estimator, settings.raft_weights, request.device)
    )
    tasks = [_task(row, manifest, settings, is_dis) for shard in shards for row in shard.rows]
    say(f"encoding {len(tasks)} clips with {request.base} on {request.device}")
    done = 0
    with ExitStack() as stack:
        model = stack.enter_context(loaded_encoders(request.base, "pixels", request.device))
        results = request.run(read_clip, tasks, request.workers)
        if hasattr(results, "close"):
            stack.callback(results.close)
        encoder = fingerprints.of_module(model.pipeline.vae)
        for shard in shards:
            with (
                read_texts(text_path(request.out, shard)) as (texts, text_encoder),
                new_shard(shard.path) as writer,
            ):
                job = _Job(model, settings, estimator, writer, texts)
                for number, row in enumerate(shard.rows):
                    job.take(number, row, next(results))
                    done += 1
                    progress(done, len(tasks))
                job.flush()
                made = {"clips_hash": shard.clips_hash, "autoencoder": encoder, "text_encoder": text_encoder}
                counts = {"num_clips": writer.num_rows, "left_out": job.left_out}
                writer.finish({**facts, **made, **counts})


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


def _task(row: ManifestRow, manifest: Manifest, settings: PrepareSettings, is_dis: bool) -> ReadTask:
    bucket = parse_bucket(row.bucket)
    return ReadTask(
        clip_id=row.clip_id,
        place=manifest.places[row.clip_id],
        start_s=row.start_s,
        num_frames=bucket.num_frames,
        height=bucket.height,
        width=bucket.width,
        fps=settings.clips.fps,
        fit=settings.clips.fit,
        with_flow=is_dis,
    )
