"""From any data set to shards of latents and text: `videojam data prepare`. It may be killed anywhere and run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from videojam.data.config import FACTS_NAME, WorldSource
from videojam.data.manifest import Manifest, Progress, make_manifest
from videojam.data.prepare.job import PrepareJob
from videojam.data.prepare.origin import ORIGIN_NAME, write_origin
from videojam.data.prepare.pixels import encode_shards
from videojam.data.prepare.plan import Shard, facts_of, is_finished, plan_shards, record_folder
from videojam.data.prepare.request import PrepareReport, PrepareRequest
from videojam.data.prepare.texts import WORK, encode_texts, text_path
from videojam.data.prepared import MANIFEST_NAME, NULL_NAME, UNUSED_NAME
from videojam.data.shards import read_facts_of
from videojam.data.workers import Run, in_workers, start_ahead
from videojam.errors import VideoJamError
from videojam.files import remove_empty
from videojam.locks import locked
from videojam.motion.estimators import build_estimator

OWN_NAMES = (FACTS_NAME, MANIFEST_NAME, UNUSED_NAME, NULL_NAME, ORIGIN_NAME)
"""Files that all shards share."""


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
    if request.settings.motion.estimator == "exact" and not isinstance(request.source, WorldSource):
        build_estimator("exact")  # refuses it before a clip is read
    request = _for_engine(request)
    settings = request.settings
    if request.engine == "processes":
        start_ahead(request.workers)
    with locked(request.out, f"prepare-{index}-of-{count}"):
        facts = facts_of(request)  # first, as it refuses a base before any clip is read
        manifest = make_manifest(
            request.source, settings.clips, layout=request.layout, workers=request.workers, run=_run(request)
        )
        say(f"{manifest.root}: layout {manifest.layout}, {len(manifest.rows)} clips can be used")
        _check_rows(manifest)
        shards = plan_shards(request.out, manifest.rows, settings.clips_per_shard)
        mine = [shard for shard in shards if shard.number % count == index]
        if not (isinstance(request.source, WorldSource) or all(shard.path.is_file() for shard in mine)):
            build_estimator(settings.motion.estimator, settings.raft_weights)  # RAFT's weights may be missing
        record_folder(request.out, {**facts, "num_shards": len(shards)}, manifest)
        write_origin(request, manifest)
        report = PrepareReport(len(mine), left_out={k: str(v) for k, v in manifest.problems.items()})
        wanted = [shard for shard in mine if not is_finished(shard, facts)]
        report.num_kept = len(mine) - len(wanted)
        if report.num_kept:
            say(f"{report.num_kept} of {len(mine)} shards are there already")
        if wanted or not (request.out / NULL_NAME).is_file():
            _encode(PrepareJob(request, wanted, manifest.places, facts, progress, say))
        for shard in mine:
            found = read_facts_of(shard.path)
            report.num_clips += found["num_clips"]
            report.left_out |= found["left_out"]
        _clean(request.out, mine, is_alone=count == 1)
    return report


def _for_engine(request: PrepareRequest) -> PrepareRequest:
    """Name source, output and base by absolute paths where workers run in folders of their own."""
    if request.engine == "processes":
        return request
    base, source = Path(request.base), request.source
    return replace(
        request,
        source=source.absolute() if isinstance(source, Path) and source.exists() else source,
        out=request.out.absolute(),
        base=str(base.absolute()) if base.is_dir() else request.base,
    )


def _run(request: PrepareRequest) -> Run:
    """Return what applies a function to tasks in order."""
    if request.engine == "processes":
        return in_workers
    from videojam.data.prepare.on_ray import in_ray

    return in_ray


def _encode(job: PrepareJob) -> None:
    """Encode the captions, then the clips: one encoder after the other."""
    if job.request.engine == "ray":
        from videojam.data.prepare.on_ray import encode_on_ray

        encode_on_ray(job)
        return
    encode_texts(job.request, job.shards, job.say)
    if job.shards:
        encode_shards(job)


def _check_out(out: Path) -> None:
    if out.is_dir() and not (out / FACTS_NAME).is_file():
        names = [path.name for path in out.iterdir() if not path.name.startswith(".")]
        others = [name for name in names if name not in OWN_NAMES]  # another process may just have begun
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
            fix=f"Repair or replace the clips. The first reason: {reasons[0]}" if reasons else "Add clips.",
        )


def _clean(out: Path, shards: list[Shard], *, is_alone: bool) -> None:
    """Remove the text of finished shards, and what a killed run left half-written.

    Args:
        out: The folder.
        shards: Of this process.
        is_alone: Whether no other process writes the files that all shards share.
    """
    written = [path for shard in shards for path in (shard.path, text_path(out, shard))]
    if is_alone:
        written += [out / name for name in OWN_NAMES]
    for shard in shards:
        text_path(out, shard).unlink(missing_ok=True)
    for path in written:
        for unfinished in path.parent.glob(f".{path.name}.tmp-*"):
            unfinished.unlink(missing_ok=True)
    if is_alone:  # else another one may be about to write into it
        remove_empty([out / WORK])
