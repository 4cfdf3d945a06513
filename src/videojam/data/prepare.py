"""From any data set to shards of latents and text: `videojam data prepare`. It may be killed anywhere and run again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from videojam import fingerprints
from videojam.data.clips import ClipContent
from videojam.data.config import FACTS_NAME
from videojam.data.latents import NULL_PROMPT, DrawnClip, encode_pixels, flow_of
from videojam.data.manifest import Manifest, ManifestRow, Progress, make_manifest, write_manifest
from videojam.data.prepared import NULL_NAME, UNUSED_NAME
from videojam.data.read import ReadTask, read_clip
from videojam.data.settings import PrepareSettings, parse_bucket
from videojam.data.shards import SCHEMA_VERSION, ShardWriter, new_shard, read_facts_of
from videojam.data.workers import WorkerConfig, in_workers
from videojam.errors import VideoJamError
from videojam.files import write_tensors, write_text
from videojam.locks import locked
from videojam.models.encoders import loaded_encoders
from videojam.models.load import LoadedModel
from videojam.models.resolve import resolve
from videojam.motion.estimators import FlowEstimator, OnFirstUse
from videojam.store import check_same

WORK = ".work"
TEXT_BATCH = 16
SAME_FIX = "Give the first value back to go on, or choose another output folder."

Run = Callable[[Callable[[Any], Any], list[Any], WorkerConfig], Iterator[Any]]
"""What applies a function to tasks in order: `in_workers`, or an engine on several machines."""


@dataclass(frozen=True)
class PrepareRequest:
    """What is prepared, into which folder, and by which process.

    Attributes:
        source: Folder, table or tar.
        out: Folder of the shards.
        base: Pipeline folder, hub id or shipped model, whose encoders are used.
        settings: All that decides the result.
        share: (i, n): this process makes every n-th shard, from the i-th on.
        device: Where the encoders and RAFT compute.
        workers: Processes that read clips.
        layout: Name of the folder's layout; detected if None.
        run: What applies a function to tasks.
    """

    source: Path
    out: Path
    base: str
    settings: PrepareSettings
    share: tuple[int, int] = (0, 1)
    device: str = "cpu"
    workers: WorkerConfig = WorkerConfig()  # noqa: RUF009 - frozen
    layout: str | None = None
    run: Run = in_workers


@dataclass(frozen=True)
class Shard:
    """Clips of one bucket that are written to one file.

    Attributes:
        number: Of all shards of the folder.
        path: Its file.
        rows: Its clips.
    """

    number: int
    path: Path
    rows: list[ManifestRow]

    @property
    def clips_hash(self) -> str:
        """Hash of the clips, their captions and stretches."""
        return fingerprints.of_data([asdict(row) for row in self.rows])


@dataclass
class PrepareReport:
    """What a run of `prepare` found and did.

    Attributes:
        num_shards: Shards of this process.
        num_kept: Of these, finished by an earlier run.
        num_clips: Clips in them.
        left_out: Clips that can't be used, with the reason.
    """

    num_shards: int = 0
    num_kept: int = 0
    num_clips: int = 0
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def unused_share(self) -> float:
        """Share of the clips that can't be used."""
        return len(self.left_out) / max(1, len(self.left_out) + self.num_clips)


def prepare_folder(
    request: PrepareRequest, progress: Progress = lambda done, total: None, say: Callable[[str], None] = print
) -> PrepareReport:
    """Make the shards of a data set that aren't there yet.

    Args:
        request: What and where.
        progress: Called with (clips done, clips in all) of this process.
        say: Called with lines for people.

    Raises:
        VideoJamError: nothing to read; a folder that was prepared otherwise, by the name of the differing field;
            another process at the same share; no room.
    """
    index, count = request.share
    if not 0 <= index < count:
        raise VideoJamError(
            expected="a share i/n with 0 ≤ i < n",
            found=f"{index}/{count}",
            where="share",
            fix="Number the processes from 0.",
        )
    _check_out(request.out)
    with locked(request.out, f"prepare-{index}-of-{count}"):
        settings = request.settings
        manifest = make_manifest(
            request.source, settings.clips, layout=request.layout, workers=request.workers
        )
        say(f"{manifest.root}: layout {manifest.layout}, {len(manifest.rows)} clips can be used")
        _check_rows(manifest)
        shards = plan_shards(request.out, manifest.rows, settings.clips_per_shard)
        facts = _facts(request)
        _record(request.out, {**facts, "num_shards": len(shards)}, manifest)
        mine = [shard for shard in shards if shard.number % count == index]
        report = PrepareReport(len(mine), left_out={k: str(v) for k, v in manifest.problems.items()})
        wanted = [shard for shard in mine if not _is_finished(shard, facts)]
        report.num_kept = len(mine) - len(wanted)
        if report.num_kept:
            say(f"{report.num_kept} of {len(mine)} shards are there already")
        if wanted or not (request.out / NULL_NAME).is_file():
            _encode_texts(request, wanted, say)
        if wanted:
            _encode_pixels(request, wanted, manifest, facts, progress, say)
        for shard in mine:
            found = read_facts_of(shard.path)
            report.num_clips += found["num_clips"]
            report.left_out |= found["left_out"]
        _clean(request.out, mine)
    return report


def plan_shards(out: Path, rows: list[ManifestRow], clips_per_shard: int) -> list[Shard]:
    """Divide clips into shards of one bucket each, in the manifest's order."""
    shards: list[Shard] = []
    for bucket in sorted({row.bucket for row in rows}):
        clips = [row for row in rows if row.bucket == bucket]
        for start in range(0, len(clips), clips_per_shard):
            number = len(shards)
            path = out / f"shard-{number:05d}-{bucket}.parquet"
            shards.append(Shard(number, path, clips[start : start + clips_per_shard]))
    return shards


def _facts(request: PrepareRequest) -> dict[str, Any]:
    """Return all that decides the shards besides the clips, by name."""
    folder = resolve(request.base)
    settings = request.settings
    parts = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and path.name.startswith(("vae", "text_encoder", "tokenizer", "image_encoder"))
    )
    estimator = OnFirstUse(settings.motion.estimator, settings.raft_weights)
    return {
        "schema_version": SCHEMA_VERSION,
        **settings.model_dump(mode="json"),
        "estimator": estimator.name,
        "encoders": {name: fingerprints.of_model_folder(folder / name) for name in parts},
    }


def _check_out(out: Path) -> None:
    if out.is_dir() and not (out / FACTS_NAME).is_file():
        others = [path.name for path in out.iterdir() if not path.name.startswith(".videojam-")]
        if others:
            raise VideoJamError(
                expected=f"no folder, or one that videojam prepared, with {FACTS_NAME} in it",
                found=f"a folder with other files, such as {sorted(others)[0]}",
                where=str(out),
                fix="Choose another output folder.",
            )


def _check_rows(manifest: Manifest) -> None:
    if not manifest.rows:
        reasons = list(manifest.problems.values())
        raise VideoJamError(
            expected="a clip that can be used",
            found=f"none of {len(reasons)}",
            where=str(manifest.root),
            fix=f"The first reason: {reasons[0]}" if reasons else "Add clips.",
        )


def _record(out: Path, facts: dict[str, Any], manifest: Manifest) -> None:
    """Write what decides the shards, and the clips; or refuse a folder in which they differ."""
    path, clips = out / FACTS_NAME, out / "manifest.jsonl"
    if path.is_file():
        stored = json.loads(path.read_text())
        stored.pop("num_shards", None)  # it follows from the clips, which are compared by name
        asked = {key: value for key, value in facts.items() if key != "num_shards"}
        check_same(stored, asked, "with which the folder was prepared", path, SAME_FIX)
        if clips.is_file():
            _check_same_clips(clips, manifest.rows)
            return
    write_manifest(clips, manifest.rows)
    unused = {name: str(error) for name, error in manifest.problems.items()}
    write_text(out / UNUSED_NAME, json.dumps(unused, indent=1, ensure_ascii=False) + "\n")
    write_text(path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def _check_same_clips(path: Path, rows: list[ManifestRow]) -> None:
    before = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    now = {row.clip_id: json.loads(json.dumps(asdict(row))) for row in rows}
    old = {row["clip_id"]: row for row in before}
    differing = [name for name in [*old, *now] if old.get(name) != now.get(name)]
    if not differing:
        return
    name = differing[0]
    what = "gone" if name not in now else "new" if name not in old else "another one"
    if what == "another one":
        keys = [key for key, value in old[name].items() if now[name].get(key) != value]
        what = f"changed in {', '.join(keys)}"
    raise VideoJamError(
        expected=f"the {len(old)} clips with which the folder was prepared",
        found=f"{len(now)} clips; {name} is {what}",
        where=str(path),
        fix="Put the clips back to go on, or prepare into another folder.",
    )


def _is_finished(shard: Shard, facts: dict[str, Any]) -> bool:
    """Whether a shard is there and whole; one that other settings or clips made is refused by name."""
    if not shard.path.is_file():
        return False
    stored = read_facts_of(shard.path)
    asked = {**facts, "clips_hash": shard.clips_hash}
    check_same({key: stored.get(key) for key in asked}, asked, "with which it was made", shard.path, SAME_FIX)
    return True


def _text_path(out: Path, shard: Shard) -> Path:
    return out / WORK / f"text-{shard.number:05d}.safetensors"


def _encode_texts(request: PrepareRequest, shards: list[Shard], say: Callable[[str], None]) -> None:
    """Encode the captions of shards that lack them, shard by shard, with the text encoder and nothing else loaded."""
    paths = {shard.number: _text_path(request.out, shard) for shard in shards}
    missing = [shard for shard in shards if _stored_hash(paths[shard.number]) != shard.clips_hash]
    null = request.out / NULL_NAME
    if not missing and null.is_file():
        return
    say(f"encoding captions with {request.base}")
    with loaded_encoders(request.base, "text", request.device) as model:
        length = request.settings.max_sequence_length or model.defaults.max_sequence_length
        fingerprint = fingerprints.of_module(model.pipeline.text_encoder)
        if not null.is_file():
            tensors = model.family.encode_prompts(model.pipeline, [NULL_PROMPT], length)
            write_tensors(
                null, {k: v.cpu().contiguous() for k, v in tensors.items()}, {"encoder": fingerprint}
            )
        for shard in missing:
            captions = [row.caption for row in shard.rows]
            batches = [
                model.family.encode_prompts(model.pipeline, captions[i : i + TEXT_BATCH], length)
                for i in range(0, len(captions), TEXT_BATCH)
            ]
            tensors = {key: torch.cat([batch[key].cpu() for batch in batches]) for key in batches[0]}
            words = {"clips_hash": shard.clips_hash, "encoder": fingerprint}
            write_tensors(paths[shard.number], {k: v.contiguous() for k, v in tensors.items()}, words)


def _stored_hash(path: Path) -> str | None:
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("clips_hash")
    except (OSError, SafetensorError):
        return None


def _encode_pixels(
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
                _texts(_text_path(request.out, shard)) as (texts, text_encoder),
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


@contextmanager
def _texts(path: Path) -> Iterator[tuple[Callable[[int], dict[str, Tensor]], str]]:
    """Yield what reads the text tensors of a clip of a shard, and the text encoder's fingerprint."""
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())

        def of(number: int) -> dict[str, Tensor]:
            return {f"text.{name}": file.get_slice(name)[number] for name in names}

        yield of, (file.metadata() or {})["encoder"]


def _clean(out: Path, shards: list[Shard]) -> None:
    """Remove the text of finished shards, and what a killed run left half-written."""
    for shard in shards:
        _text_path(out, shard).unlink(missing_ok=True)
        for path in (shard.path, _text_path(out, shard)):
            for unfinished in path.parent.glob(f".{path.name}.tmp-*"):
                unfinished.unlink(missing_ok=True)
    work = out / WORK
    if work.is_dir() and not any(work.iterdir()):
        work.rmdir()
