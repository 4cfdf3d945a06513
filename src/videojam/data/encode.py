"""Encode clips once into appearance and motion latents and text, kept in files keyed by content and config."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from videojam import fingerprints
from videojam.data.cache import facts_of, gone, make_cache, write_encoded
from videojam.data.clips import ClipEntry, list_clips, rates_of_files
from videojam.data.config import DataConfig, FolderSource, PreparedSource, prepared_facts
from videojam.data.encoded import EncodedClip, EncodedData
from videojam.data.latents import DrawnClip, encode_pixels, flow_of
from videojam.data.prepared import image_facts, open_prepared
from videojam.data.rates import rate_notes
from videojam.data.texts import KEPT, WAITING, Texts, encode_texts
from videojam.errors import VideoJamError
from videojam.models.encoders import Encoders, LoadedEncoders
from videojam.models.load import LoadedModel
from videojam.motion.code import MotionCode
from videojam.motion.estimators import FlowEstimator, OnFirstUse
from videojam.motion.rgb import magnitude_report

CACHE_VERSION = 4
BATCH_CLIPS = 4
BATCH_PX = 1 << 23
"""Pixels of clips and motion that one call of the autoencoder gets, if more than one video: CogVideoX's holds about
12 KiB for each."""
MAX_MAGNITUDES = 64

Progress = Callable[[int, int], None]


def prepare(
    model: LoadedModel | Encoders,
    data: DataConfig,
    code: MotionCode,
    *,
    estimator: FlowEstimator | None = None,
    stored: Callable[[int], list[int]] | None = None,
    progress: Progress = lambda done, total: None,
) -> EncodedData:
    """Encode what the cache does not hold yet: text, then x and d (Eq. 5, then the same autoencoder).

    The text encoders are done before the autoencoder starts, so that `StoredEncoders` never have both in memory; where
    the cache holds everything, they load neither.

    Args:
        model: The base; its autoencoder and text encoder are used as the stock pipeline uses them.
        data: Where clips come from and where latents go.
        code: Motion code that draws flow as RGB.
        estimator: Flow estimator; that of `code` if None, built when the first clip without flow is read.
        stored: Of a number of clips, those that are encoded now; of the others only the text is. All if None.
        progress: Called with (clips done, clips in all).

    Raises:
        VideoJamError: a clip can't be used and the source says to stop, or too few clips are left.
    """
    source = data.source
    encoders = LoadedEncoders(model) if isinstance(model, LoadedModel) else model
    if isinstance(source, PreparedSource):
        return _prepared(encoders, data, source, code)
    outline = encoders.outline
    # refuses a size or length that the family's autoencoder can't take
    outline.family.latent_shape(outline.pipeline, source.num_frames, source.height, source.width)
    entries, left_out = list_clips(source)
    num_found = len(entries) + len(left_out)
    rates = None if stored is None else rates_of_files(entries, source, left_out)
    entries = [entry for entry in entries if entry.name not in left_out]
    check_enough(len(entries), num_found, data, left_out)
    estimator = estimator or OnFirstUse(code.estimator)
    length = data.max_sequence_length or outline.defaults.max_sequence_length
    folder, words = _cache_folder(encoders, data, code, estimator.name)
    now = entries if stored is None else [entries[number] for number in stored(len(entries))]
    paths = {entry.key: folder / f"{entry.key}.safetensors" for entry in now}
    is_new = {key: facts_of(path) is None for key, path in paths.items()}  # or broken: encoded anew
    texts = Texts(folder / (WAITING if stored is None else KEPT))
    wanted = [entry for entry in entries if is_new.get(entry.key, True)]
    measures = isinstance(source, FolderSource) and (stored is not None or any(is_new.values()))
    if measures and isinstance(estimator, OnFirstUse):
        estimator.build()  # before anything is written, as RAFT's weights may be missing
    make_cache(folder, words)
    null_text = encode_texts(encoders, wanted, texts, length)
    magnitudes: list[Tensor] = []
    if any(is_new.values()):
        skips = stored is None and isinstance(source, FolderSource) and source.on_error == "skip"
        with encoders.pixels() as loaded:
            job = _Pixels(loaded, code, estimator, paths, texts, magnitudes)
            left_out |= _encode_all(job, now, is_new, progress, skips=skips)
        if stored is None:
            texts.remove(wanted)
    else:
        progress(len(now), len(now))
    encoded = [
        EncodedClip(entry.name, entry.caption, paths[entry.key])
        if entry.key in paths
        else EncodedClip(entry.name, entry.caption, texts.path(entry), entry=entry)
        for entry in entries
        if entry.name not in left_out
    ]
    check_enough(len(encoded), num_found, data, left_out)
    rates = _rates_in_cache(encoded) if rates is None else rates
    notes = [*_magnitude_notes(magnitudes, data, code), *rate_notes(rates, source)]
    return EncodedData(encoded, null_text, left_out, notes)


def _encode_all(
    job: _Pixels, entries: list[ClipEntry], is_new: dict[str, bool], progress: Progress, *, skips: bool
) -> dict[str, str]:
    """Encode the clips that the cache lacks; return those that can't be read, with the reason.

    Raises:
        VideoJamError: such a clip, where none is to be left out.
    """
    left_out = {}
    for done, entry in enumerate(entries):
        try:
            if is_new[entry.key]:
                job.take(entry)
        except VideoJamError as error:
            if not skips:
                raise
            left_out[entry.name] = str(error)
            continue
        progress(done + 1, len(entries))
    job.flush()
    return left_out


def _rates_in_cache(clips: list[EncodedClip]) -> dict[str, float | None]:
    """Return the frame rate of each clip's file, as its header in the cache says; None where it has none."""
    facts = {clip.name: facts_of(clip.path) or {} for clip in clips}
    return {name: float(found["own_fps"]) if "own_fps" in found else None for name, found in facts.items()}


def _prepared(encoders: Encoders, data: DataConfig, source: PreparedSource, code: MotionCode) -> EncodedData:
    """Take what a prepared folder holds, if this model's encoders and this motion code made it."""
    made_by = encoders.made(prepared_facts(source.path).get("encoders", {}))
    length = data.max_sequence_length or encoders.outline.defaults.max_sequence_length
    image = image_facts(encoders)
    folder = open_prepared(source.path, made_by, code, length, image)
    clips = [
        EncodedClip(clip.name, clip.caption, clip.path, clip.row, clip.bucket, clip.key, image is not None)
        for clip in folder.clips
    ]
    check_enough(len(clips), len(clips) + len(folder.left_out), data, folder.left_out)
    return EncodedData(clips, folder.null_text, folder.left_out, [folder.note])


def clips_together(num_px: int) -> int:
    """Return how many clips of so many pixels are encoded together, each with its motion."""
    return max(1, min(BATCH_CLIPS, BATCH_PX // (2 * num_px)))


@dataclass(frozen=True)
class _Waiting:
    """A clip that was read and drawn, and is to be encoded to its file."""

    entry: ClipEntry
    clip: DrawnClip
    facts: dict[str, str]


@dataclass
class _Pixels:
    """Clips that are read and encoded: they wait until a batch is full.

    Attributes:
        model: With its autoencoder.
        code: Motion code.
        estimator: Of flow.
        paths: File of each clip, by its key.
        texts: Where their text is.
        magnitudes: Every fourth pixel of the first clips' flow.
        waiting: Clips that wait.
    """

    model: LoadedModel
    code: MotionCode
    estimator: FlowEstimator
    paths: dict[str, Path]
    texts: Texts
    magnitudes: list[Tensor]
    waiting: list[_Waiting] = field(default_factory=list)

    def take(self, entry: ClipEntry) -> None:
        """Read a clip and draw its motion; its flow, three times as large, isn't kept.

        Raises:
            VideoJamError: it can't be read.
        """
        content = entry.read()
        flow = flow_of(content, self.estimator)
        clip = DrawnClip(entry.name, entry.caption, content.video, self.code.draw(flow), self.code.gain)
        facts = {"name": entry.name, "caption": entry.caption}
        if content.own_fps is not None:
            facts["own_fps"] = repr(content.own_fps)
        if len(self.magnitudes) < MAX_MAGNITUDES:
            self.magnitudes.append(flow[:, :, ::4, ::4].clone())
        self.waiting.append(_Waiting(entry, clip, facts))
        if len(self.waiting) == clips_together(content.video.shape[0] * content.video[0, 0].numel()):
            self.flush()

    def flush(self) -> None:
        """Encode the clips that wait together, and write each to its file with its text."""
        if not self.waiting:
            return
        clips = [new.clip for new in self.waiting]
        together = 2 * len(clips) * clips[0].video.numel() // 3 <= BATCH_PX
        made = encode_pixels(self.model, clips, together=together)
        for row, new in enumerate(self.waiting):
            path = self.paths[new.entry.key]
            try:
                text = self.texts.of(new.entry)
            except FileNotFoundError:
                if facts_of(path) is None:
                    raise gone(self.texts.path(new.entry), f"the encoded words of {new.entry.name}") from None
                continue  # another run with this cache has encoded the clip meanwhile, and removed the text
            tensors = {"x": made.x[row].cpu().half(), "d": made.d[row].cpu().half(), **text}
            tensors |= {f"image.{name}": tensor[row].cpu() for name, tensor in made.image.items()}
            write_encoded(path, tensors, new.facts)
            self.texts.done(new.entry)
        self.waiting.clear()


def _cache_folder(encoders: Encoders, data: DataConfig, code: MotionCode, estimator: str) -> tuple[Path, str]:
    """Return the folder named by a hash of all, besides the clip, that decides its latents, and all this in words."""
    facts = {
        "cache_version": CACHE_VERSION,
        "motion": code.of_latents(),
        "estimator": estimator,
        "autoencoder": encoders.fingerprint("vae"),
        "text_encoders": encoders.text_fingerprints(),
        "max_sequence_length": data.max_sequence_length or encoders.outline.defaults.max_sequence_length,
    }
    image = encoders.image_facts
    if image is not None:
        facts["image"] = {**image, "encoder": encoders.fingerprint("image_encoder")}
    key = fingerprints.of_data(facts)[:16]
    return data.cache / key, json.dumps(facts, indent=2) + "\n"


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
