"""Encode clips once into appearance and motion latents and text, kept in files keyed by content and config."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from videojam.data.clips import ClipContent, ClipEntry, list_clips
from videojam.data.config import DataConfig, FolderSource
from videojam.errors import VideoJamError
from videojam.files import renamed
from videojam.joint.batch import Batch
from videojam.joint.latents import reject_non_finite
from videojam.models.load import LoadedModel
from videojam.motion.code import MotionCode
from videojam.motion.estimators import FlowEstimator, build_estimator
from videojam.motion.flow import motion_video
from videojam.motion.rgb import magnitude_report

CACHE_VERSION = 1
BATCH_CLIPS = 4
NULL_PROMPT = ""
"""The null text of training: the empty prompt, whatever negative prompt a folder asks of sampling."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EncodedClip:
    """One clip in the cache; its file holds x, d `[C, F, H, W]` float16, text tensors `[L, D]` and image conditions."""

    name: str
    caption: str
    path: Path


@dataclass(frozen=True)
class EncodedData:
    """Everything that a training run reads.

    Attributes:
        clips: Encoded clips in the source's order.
        null_text: Denoiser keywords of the null text, `[1, L, D]` each.
        left_out: Clips that were not used, with the reason.
        notes: Lines to show the user (the magnitude report and its warning).
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
        estimator: Flow estimator; built from `code` if none. World clips bring exact flow.
        progress: Called with (clips done, clips in all).

    Raises:
        VideoJamError: a clip can't be used and the source says to stop, or too few clips are left.
    """
    source = data.source
    model.family.latent_shape(
        model.pipeline, source.num_frames, source.height, source.width
    )  # refuses odd sizes
    entries, left_out = list_clips(source)
    unusable_before = len(left_out)
    check_enough(len(entries), len(entries) + unusable_before, data, left_out)
    folder = data.cache / _config_key(model, data, code, estimator)
    folder.mkdir(parents=True, exist_ok=True)
    length = data.max_sequence_length or model.defaults.max_sequence_length
    if estimator is None and code.estimator != "exact":
        estimator = build_estimator(code.estimator)

    encoded: list[EncodedClip] = []
    waiting: list[tuple[ClipEntry, ClipContent, Path]] = []
    magnitudes: list[Tensor] = []

    def flush() -> None:
        if waiting:
            _encode(model, waiting, code, estimator, length, magnitudes)
            waiting.clear()

    for done, entry in enumerate(entries):
        path = folder / f"{_clip_key(entry)}.safetensors"
        if not _is_whole(path):
            try:
                content = entry.read()
            except VideoJamError as error:
                if isinstance(source, FolderSource) and source.on_error == "skip":
                    left_out[entry.name] = str(error)
                    continue
                raise
            waiting.append((entry, content, path))
            if len(waiting) == BATCH_CLIPS:
                flush()
        encoded.append(EncodedClip(entry.name, entry.caption, path))
        progress(done + 1, len(entries))
    flush()

    check_enough(len(encoded), len(entries) + unusable_before, data, left_out)
    null_text = model.family.encode_prompts(model.pipeline, [NULL_PROMPT], length)
    return EncodedData(encoded, null_text, left_out, _magnitude_notes(magnitudes, data, code))


def read_encoded(path: Path, keys: tuple[str, ...] | None = None) -> dict[str, Tensor]:
    """Read a clip's tensors from the cache: `x`, `d`, and the keywords `text.*` and `image.*`."""
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in (keys or file.keys())}


def read_batch(clips: list[EncodedClip], device: torch.device | str) -> Batch:
    """Read clips from the cache into one batch, float32."""
    tensors = [read_encoded(clip.path) for clip in clips]
    stacked = {key: torch.stack([t[key] for t in tensors]).to(device).float() for key in tensors[0]}
    cond = {
        key.partition(".")[2]: value for key, value in stacked.items() if key.startswith(("text.", "image."))
    }
    return Batch(stacked["x"], stacked["d"], cond)


@torch.no_grad()
def _encode(
    model: LoadedModel,
    waiting: list[tuple[ClipEntry, ClipContent, Path]],
    code: MotionCode,
    estimator: FlowEstimator | None,
    length: int | None,
    magnitudes: list[Tensor],
) -> None:
    """Encode a few clips together and write each to its file."""
    flows = [_flow_of(content, estimator) for _, content, _ in waiting]
    magnitudes.extend(flow[:, :, ::4, ::4].clone() for flow in flows if len(magnitudes) < 64)
    videos = torch.stack([content.video for _, content, _ in waiting])
    drawn = torch.stack([motion_video(flow, code) for flow in flows])
    pixels = torch.cat([videos, drawn]).movedim(2, 1).float() / 127.5 - 1
    latents = model.family.encode_video(model.pipeline, pixels).cpu()
    text = model.family.encode_prompts(model.pipeline, [entry.caption for entry, _, _ in waiting], length)
    image = model.family.encode_image(model.pipeline, pixels[: len(waiting)])
    half = len(waiting)
    for row, (entry, _, path) in enumerate(waiting):
        x, d = latents[row], latents[half + row]
        reject_non_finite(x, "appearance latent", entry.name)
        reject_non_finite(d, "motion latent", entry.name)
        tensors = {"x": x.half(), "d": d.half()}
        tensors |= {f"text.{name}": tensor[row].cpu() for name, tensor in text.items()}
        tensors |= {f"image.{name}": tensor[row].cpu() for name, tensor in image.items()}
        with renamed(path) as unfinished:
            save_file(
                {key: tensor.contiguous() for key, tensor in tensors.items()},
                unfinished,
                metadata={"name": entry.name, "caption": entry.caption},
            )


def _flow_of(content: ClipContent, estimator: FlowEstimator | None) -> Tensor:
    """Return the source's exact flow, else the estimator's; asking for exact flow where there is none raises."""
    if content.flow is not None:
        return content.flow
    return (estimator or build_estimator("exact"))(content.video)


def _is_whole(path: Path) -> bool:
    """Whether a cached file exists and reads; a broken one is encoded anew."""
    try:
        with safe_open(path, framework="pt") as file:
            return "x" in file.keys()  # noqa: SIM118 - not a dict
    except (FileNotFoundError, SafetensorError):
        return False


def _clip_key(entry: ClipEntry) -> str:
    return hashlib.sha256(f"{entry.fingerprint} {entry.caption}".encode()).hexdigest()[:32]


def _config_key(
    model: LoadedModel, data: DataConfig, code: MotionCode, estimator: FlowEstimator | None
) -> str:
    """Hash of all, besides the clip, that decides its latents; written out beside them."""
    pipe = model.pipeline
    facts = {
        "cache_version": CACHE_VERSION,
        "motion": code.model_dump(mode="json"),
        "estimator": getattr(estimator, "name", code.estimator),
        "autoencoder": fingerprint(pipe.vae),
        "text_encoder": fingerprint(pipe.text_encoder),
        "max_sequence_length": data.max_sequence_length or model.defaults.max_sequence_length,
    }
    if model.family.takes_image(pipe):
        encoder = getattr(pipe, "image_encoder", None)
        facts["image"] = {
            "pipeline": type(pipe).__name__,  # and its switches decide what it makes of the first frame
            **{name: value for name, value in pipe.config.items() if isinstance(value, (bool, int, float))},
            "encoder": None if encoder is None else fingerprint(encoder),
        }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    (data.cache / key).mkdir(parents=True, exist_ok=True)
    (data.cache / key / "config.json").write_text(json.dumps(facts, indent=2) + "\n")
    return key


def fingerprint(module: Any) -> str:
    """Hash a module's config and a sample of each of its weights: cheap, and another model gives another hash."""
    digest = hashlib.sha256()
    config = module.config.to_dict() if hasattr(module.config, "to_dict") else dict(module.config)
    volatile = ("_name_or_path", "_diffusers_version", "transformers_version", "dtype", "torch_dtype")
    digest.update(
        json.dumps(
            {k: v for k, v in config.items() if k not in volatile}, sort_keys=True, default=str
        ).encode()
    )
    for name, tensor in sorted(module.state_dict().items()):
        flat = tensor.detach().flatten()
        sample = flat[:: max(1, flat.numel() // 64)].float().cpu()
        digest.update(name.encode() + sample.numpy().tobytes())
    return digest.hexdigest()


def _magnitude_notes(magnitudes: list[Tensor], data: DataConfig, code: MotionCode) -> list[str]:
    """Report m over freshly encoded clips; nothing where all came from the cache."""
    if not magnitudes:
        return []
    report = magnitude_report(torch.cat(magnitudes), _for_size(code, data))
    quantiles = f"median {report.median:.3f}, 99th percentile {report.p99:.3f}"
    line = f"motion magnitude m over {len(magnitudes)} clips: {quantiles}"
    return [line, *([report.warning] if report.warning else [])]


def _for_size(code: MotionCode, data: DataConfig) -> MotionCode:
    """Return the code for every fourth pixel: the same full scale in px on a grid a quarter as large."""
    return code.model_copy(update={"scale": code.scale * 4})


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
