"""What a prepared folder holds, decoded again, beside the clips and the flow that it was made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from videojam import fingerprints
from videojam.data.config import WorldSource, prepared_facts
from videojam.data.facts import content_hash
from videojam.data.latents import flow_of
from videojam.data.layouts.detect import list_source
from videojam.data.place import Place
from videojam.data.prepare.origin import read_origin
from videojam.data.prepared import OTHER_FIX, shard_files
from videojam.data.read import ReadTask, read_clip
from videojam.data.settings import parse_bucket
from videojam.data.shards import read_columns, read_facts_of, read_tensors
from videojam.errors import VideoJamError
from videojam.families.latent_codec import pixels_of
from videojam.models.load import LoadedModel
from videojam.models.outline import loaded_encoders
from videojam.motion.code import MotionCode
from videojam.motion.estimators import OnFirstUse
from videojam.store import check_same

COLUMNS = ["clip_id", "source", "member", "caption", "bucket", "start_s", "content_hash", "motion_mean"]


@dataclass(frozen=True)
class LookRequest:
    """Which clips of a prepared folder are looked at, and with what.

    Attributes:
        folder: That `videojam data prepare` made.
        num_clips: How many, spread evenly over the folder.
        base: Whose autoencoder decodes; that which prepared the folder if None.
        source: Where the clips are; where they were when the folder was prepared if None.
        device: Where the autoencoder and RAFT compute.
    """

    folder: Path
    num_clips: int = 12
    base: str | None = None
    source: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class CachedClip:
    """A clip of a prepared folder.

    Attributes:
        name: Its id.
        caption: Its text.
        shard: File that holds it.
        fps: Frames a second.
        motion_mean: Mean speed, as a share of the diagonal per frame.
        appearance: Its appearance latents decoded.
        motion: Its motion latents decoded, drawn by the motion code.
        frames: Its frames; None where its file is gone.
        flow: Their flow drawn by the motion code; None where it can't be measured.
        note: Why frames or flow are missing; empty where they aren't.
    """

    name: str
    caption: str
    shard: str
    fps: float
    motion_mean: float
    appearance: UInt8[Tensor, "t 3 h w"]
    motion: UInt8[Tensor, "t 3 h w"]
    frames: UInt8[Tensor, "t 3 h w"] | None = None
    flow: UInt8[Tensor, "t 3 h w"] | None = None
    note: str = ""


def cached_clips(request: LookRequest) -> Iterator[CachedClip]:
    """Yield clips of a prepared folder, decoded.

    Args:
        request: Which and with what.

    Raises:
        VideoJamError: not a prepared folder, an unfinished or empty one, or another autoencoder than that which made
            it.
    """
    facts, origin = prepared_facts(request.folder), read_origin(request.folder)
    chosen = _chosen(request)
    places, why = _places(request.source or origin.source, origin.layout)
    code = MotionCode(**facts["motion"])
    half = facts["raft_precision"] == "half"
    estimator = OnFirstUse(code.estimator, facts["raft_weights"], request.device, half=half)
    with loaded_encoders(request.base or origin.base, "pixels", request.device) as model:
        _check_encoder(model, {path for path, _, _ in chosen})
        for path, number, row in chosen:
            clip = _decoded(model, path, number, row, facts, code)
            place = places.get((row["source"], row["member"]))
            try:
                yield (
                    _with_source(clip, row, place, facts, code, estimator)
                    if place
                    else replace(clip, note=why)
                )
            except VideoJamError as error:
                yield replace(clip, note=str(error))


def similarity_db(shown: UInt8[Tensor, "t 3 h w"], wanted: UInt8[Tensor, "t 3 h w"]) -> float:
    """Return the peak signal-to-noise ratio of two videos in dB: 10·log10(255² / mean squared error)."""
    error = float((shown.float() - wanted.float()).square().mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _chosen(request: LookRequest) -> list[tuple[Path, int, dict[str, Any]]]:
    rows = [
        (path, number, row)
        for path in shard_files(request.folder)
        for number, row in enumerate(read_columns(path, COLUMNS))
    ]
    if not rows:
        raise VideoJamError(
            expected="a prepared clip",
            found="none: every clip was left out",
            where=str(request.folder),
            fix="Prepare other clips, or with wider limits of motion.",
        )
    num = min(request.num_clips, len(rows))
    return [rows[i * len(rows) // num] for i in range(num)]


def _places(source: Path | WorldSource, layout: str | None) -> tuple[dict[tuple[str, str], Place], str]:
    """Return where the clips are, by their names in the manifest, and what to say of those that aren't there."""
    try:
        listing = list_source(source, layout if isinstance(source, Path) and source.is_dir() else None)
    except VideoJamError as error:
        return {}, f"no frames: {error}"
    places = {clip.names(listing.root): clip.place for clip in listing.clips}
    return places, f"no frames: its file is no longer in {listing.root}"


def _check_encoder(model: LoadedModel, shards: set[Path]) -> None:
    """Refuse another autoencoder than that which made the shards."""
    now = {"autoencoder": fingerprints.of_module(model.pipeline.vae)}
    for path in sorted(shards):
        made = {"autoencoder": read_facts_of(path)["autoencoder"]}
        check_same(made, now, "which made it", path, OTHER_FIX)


def _decoded(
    model: LoadedModel, path: Path, number: int, row: dict[str, Any], facts: dict[str, Any], code: MotionCode
) -> CachedClip:
    tensors = read_tensors(path, number, ("x_mean", "d_mean"))
    num_frames = parse_bucket(row["bucket"]).num_frames
    x, d = (
        pixels_of(model.family.decode_video(model.pipeline, latents[None].float(), num_frames)[0].cpu())
        for latents in (tensors["x_mean"], tensors["d_mean"].float() / code.gain)
    )
    fps = float(facts["clips"]["fps"])
    return CachedClip(
        row["clip_id"], row["caption"], path.name, fps, row["motion_mean"], x.movedim(1, 0), d.movedim(1, 0)
    )


def _with_source(
    clip: CachedClip,
    row: dict[str, Any],
    place: Place,
    facts: dict[str, Any],
    code: MotionCode,
    estimator: OnFirstUse,
) -> CachedClip:
    """Add the frames of a clip's file, and their flow as the motion code draws it."""
    if content_hash(place) != row["content_hash"]:
        return replace(clip, note="no frames: its file has changed since it was prepared")
    bucket = parse_bucket(row["bucket"])
    task = ReadTask(
        clip_id=clip.name,
        place=place,
        start_s=row["start_s"],
        num_frames=bucket.num_frames,
        height=bucket.height,
        width=bucket.width,
        fps=clip.fps,
        fit=facts["clips"]["fit"],
        with_flow=code.estimator == "dis",
    )
    content = read_clip(task)
    clip = replace(clip, frames=content.video)
    try:
        return replace(clip, flow=code.draw(flow_of(content, estimator)))
    except VideoJamError as error:
        return replace(clip, note=f"no flow: {error}")
