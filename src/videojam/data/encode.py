"""Encode clips once into appearance and motion latents and text, kept in files keyed by content and config."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from videojam import fingerprints
from videojam.data.cache import facts_of, make_cache, read_encoded, write_encoded
from videojam.data.clips import ClipEntry, list_clips
from videojam.data.config import DataConfig, FolderSource, PreparedSource
from videojam.data.latents import NULL_PROMPT, DrawnClip, encode_clips, flow_of
from videojam.data.prepared import open_prepared, read_prepared_tensors
from videojam.data.rates import rate_notes
from videojam.errors import VideoJamError
from videojam.joint.batch import Batch
from videojam.models.load import LoadedModel
from videojam.motion.code import MotionCode
from videojam.motion.estimators import FlowEstimator, OnFirstUse
from videojam.motion.rgb import magnitude_report

CACHE_VERSION = 2
BATCH_CLIPS = 4
MAX_MAGNITUDES = 64

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EncodedClip:
    """One clip in the cache; its file holds x, d `[C, F, H, W]` float16, text tensors `[L, D]` and image conditions.

    Attributes:
        name: How the user knows it.
        caption: Its text.
        path: Its file.
        row: Its row, where the file is a shard of a prepared folder.
        bucket: Clips of one batch have the same size, whose name this is.
        content: Hash by which the clip is known, where the file's name isn't.
    """

    name: str
    caption: str
    path: Path
    row: int | None = None
    bucket: str = ""
    content: str = ""

    @property
    def key(self) -> str:
        """Hash of the clip's content and caption."""
        return self.content or self.path.stem


@dataclass(frozen=True)
class EncodedData:
    """Everything that a training run reads.

    Attributes:
        clips: Encoded clips in the source's order.
        null_text: Denoiser keywords of the null text, `[1, L, D]` each.
        left_out: Clips that were not used, with the reason.
        notes: Lines to show the user: the magnitude report, and clips of another frame rate.
    """

    clips: list[EncodedClip]
    null_text: dict[str, Tensor]
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def prepare(
    model: LoadedModel,
    data: DataConfig,
    code: MotionCode,
    *,
    estimator: FlowEstimator | None = None,
    progress: Progress = lambda done, total: None,
) -> EncodedData:
    """Encode what the cache does not hold yet: x, d (Eq. 5, then the same autoencoder) and text.

    Args:
        model: The base; its autoencoder and text encoder are used as the stock pipeline uses them.
        data: Where clips come from and where latents go.
        code: Motion code that draws flow as RGB.
        estimator: Flow estimator; that of `code` if None, built when the first clip without flow is read.
        progress: Called with (clips done, clips in all).

    Raises:
        VideoJamError: a clip can't be used and the source says to stop, or too few clips are left.
    """
    source = data.source
    if isinstance(source, PreparedSource):
        return _prepared(model, data, source, code)
    model.family.latent_shape(
        model.pipeline, source.num_frames, source.height, source.width
    )  # refuses odd sizes
    entries, left_out = list_clips(source)
    unusable_before = len(left_out)
    check_enough(len(entries), len(entries) + unusable_before, data, left_out)
    estimator = estimator or OnFirstUse(code.estimator)
    length = data.max_sequence_length or model.defaults.max_sequence_length
    folder = _cache_folder(model, data, code, estimator.name)
    encoded: list[EncodedClip] = []
    waiting: list[_Waiting] = []
    magnitudes: list[Tensor] = []
    rates: dict[str, float | None] = {}

    for done, entry in enumerate(entries):
        path = folder / f"{entry.key}.safetensors"
        facts = facts_of(path)  # a broken file is encoded anew
        if facts is None:
            try:
                new = _read(entry, path, code, estimator)
            except VideoJamError as error:
                if isinstance(source, FolderSource) and source.on_error == "skip":
                    left_out[entry.name] = str(error)
                    continue
                raise
            waiting.append(new)
            facts = new.facts
            if len(magnitudes) < MAX_MAGNITUDES:
                magnitudes.append(new.sample)
            if len(waiting) == BATCH_CLIPS:
                _encode(model, waiting, length)
        encoded.append(EncodedClip(entry.name, entry.caption, path))
        rates[entry.name] = float(facts["own_fps"]) if "own_fps" in facts else None
        progress(done + 1, len(entries))
    _encode(model, waiting, length)

    check_enough(len(encoded), len(entries) + unusable_before, data, left_out)
    null_text = model.family.encode_prompts(model.pipeline, [NULL_PROMPT], length)
    notes = [*_magnitude_notes(magnitudes, data, code), *rate_notes(rates, source)]
    return EncodedData(encoded, null_text, left_out, notes)


def read_latents(clip: EncodedClip, keys: tuple[str, ...] | None = None) -> dict[str, Tensor]:
    """Read a clip's tensors: `x`, `d`, and the keywords `text.*` and `image.*`.

    Args:
        clip: In the cache or in a shard.
        keys: Which of them; all if None.

    Raises:
        VideoJamError: the file is gone, or its bytes are not those that were written.
    """
    if clip.row is None:
        return read_encoded(clip.path, keys)
    return read_prepared_tensors(clip.path, clip.row, keys)


def read_batch(clips: list[EncodedClip], device: torch.device | str) -> Batch:
    """Read clips from the cache into one batch, float32."""
    tensors = [read_latents(clip) for clip in clips]
    stacked = {key: torch.stack([t[key] for t in tensors]).to(device).float() for key in tensors[0]}
    cond = {
        key.partition(".")[2]: value for key, value in stacked.items() if key.startswith(("text.", "image."))
    }
    return Batch(stacked["x"], stacked["d"], cond)


@dataclass(frozen=True)
class _Waiting:
    """A clip that was read and drawn, and is to be encoded to its file; `sample` is every fourth pixel of its flow."""

    clip: DrawnClip
    path: Path
    sample: Tensor
    facts: dict[str, str]


def _prepared(model: LoadedModel, data: DataConfig, source: PreparedSource, code: MotionCode) -> EncodedData:
    """Take what a prepared folder holds, if this model's encoders and this motion code made it."""
    encoders = {"autoencoder": model.pipeline.vae, "text_encoder": model.pipeline.text_encoder}
    made_by = {name: fingerprints.of_module(module) for name, module in encoders.items()}
    length = data.max_sequence_length or model.defaults.max_sequence_length
    folder = open_prepared(source.path, made_by, code, length)
    clips = [
        EncodedClip(clip.name, clip.caption, clip.path, clip.row, clip.bucket, clip.key)
        for clip in folder.clips
    ]
    check_enough(len(clips), len(clips) + len(folder.left_out), data, folder.left_out)
    return EncodedData(clips, folder.null_text, folder.left_out, [folder.note])


def _read(entry: ClipEntry, path: Path, code: MotionCode, estimator: FlowEstimator) -> _Waiting:
    """Read a clip and draw its motion; its flow, three times as large, isn't kept."""
    content = entry.read()
    flow = flow_of(content, estimator)
    clip = DrawnClip(entry.name, entry.caption, content.video, code.draw(flow), code.gain)
    facts = {"name": entry.name, "caption": entry.caption}
    if content.own_fps is not None:
        facts["own_fps"] = repr(content.own_fps)
    return _Waiting(clip, path, flow[:, :, ::4, ::4].clone(), facts)


def _encode(model: LoadedModel, waiting: list[_Waiting], length: int | None) -> None:
    """Encode the clips that wait together, write each to its file, and empty the list."""
    if not waiting:
        return
    made = encode_clips(model, [new.clip for new in waiting], max_sequence_length=length, together=True)
    for row, new in enumerate(waiting):
        tensors = {"x": made.x[row].cpu().half(), "d": made.d[row].cpu().half()}
        tensors |= {f"text.{name}": tensor[row].cpu() for name, tensor in made.text.items()}
        tensors |= {f"image.{name}": tensor[row].cpu() for name, tensor in made.image.items()}
        write_encoded(new.path, tensors, new.facts)
    waiting.clear()


def _cache_folder(model: LoadedModel, data: DataConfig, code: MotionCode, estimator: str) -> Path:
    """Make the folder named by a hash of all, besides the clip, that decides its latents, which it holds in words."""
    pipe = model.pipeline
    facts = {
        "cache_version": CACHE_VERSION,
        "motion": code.model_dump(mode="json"),
        "estimator": estimator,
        "autoencoder": fingerprints.of_module(pipe.vae),
        "text_encoder": fingerprints.of_module(pipe.text_encoder),
        "max_sequence_length": data.max_sequence_length or model.defaults.max_sequence_length,
    }
    if model.family.takes_image(pipe):
        encoder = getattr(pipe, "image_encoder", None)
        facts["image"] = {
            "pipeline": type(pipe).__name__,  # and its switches decide what it makes of the first frame
            **{name: value for name, value in pipe.config.items() if isinstance(value, (bool, int, float))},
            "encoder": None if encoder is None else fingerprints.of_module(encoder),
        }
    key = fingerprints.of_data(facts)[:16]
    return make_cache(data.cache / key, json.dumps(facts, indent=2) + "\n")


def _magnitude_notes(magnitudes: list[Tensor], data: DataConfig, code: MotionCode) -> list[str]:
    """Report m over freshly encoded clips; nothing where all came from the cache."""
    if not magnitudes:
        return []
    report = magnitude_report(torch.cat(magnitudes), code, (data.source.height, data.source.width))
    quantiles = f"median {report.median:.3f}, 99th percentile {report.p99:.3f}"
    line = f"motion magnitude m over {len(magnitudes)} clips: {quantiles}"
    return [line, *([report.warning] if report.warning else [])]


def check_enough(num_usable: int, num_found: int, data: DataConfig, left_out: dict[str, str]) -> None:
    """Refuse a source with no clip left for training; called before the first clip is encoded, and after the last.

    Args:
        num_usable: Clips that can be used.
        num_found: Clips that were found.
        data: How many are held out.
        left_out: Clips that can't be used, with the reason.

    Raises:
        VideoJamError: as many clips are held out as there are, or more.
    """
    num_heldout = data.num_heldout_of(num_usable)
    if num_usable <= num_heldout:
        raise VideoJamError(
            expected=f"at least {num_heldout + 1} clips: {num_heldout} held out (data.num_heldout), 1 to train on",
            found=f"{num_usable} usable of {num_found}",
            where="data.source",
            fix="Add clips"
            + (", or lower data.num_heldout." if num_heldout > 1 else ".")
            + _first_reason(left_out),
        )


def _first_reason(left_out: dict[str, str]) -> str:
    if not left_out:
        return ""
    name, reason = next(iter(left_out.items()))
    return f" {len(left_out)} clips were left out, the first being {name}: {reason}"
