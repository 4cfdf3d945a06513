"""A prepared folder as training reads it: its clips in a fixed order, and which model and motion code it fits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from videojam import fingerprints
from videojam.data.config import FACTS_NAME, prepared_facts
from videojam.data.shards import read_columns, read_facts_of, read_tensors, tensor_names
from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.models.encoders import Encoders
from videojam.motion.code import MotionCode
from videojam.store import check_same

MANIFEST_NAME = "manifest.jsonl"
NULL_NAME = "null_text.safetensors"
UNUSED_NAME = "unused.json"
"""Clips that were found and can't be used, with the reason."""
STORED = {"x": "x_mean", "d": "d_mean"}
"""What training calls the means of the posteriors."""
OTHER_FIX = (
    "Prepare the clips again with this base, motion code and text length, or train with those of the folder."
)


@dataclass(frozen=True)
class PreparedClip:
    """A clip of a shard.

    Attributes:
        name: Its id.
        caption: Its text.
        path: Shard.
        row: In it.
        bucket: Its size.
        key: Hash of content, caption and stretch.
    """

    name: str
    caption: str
    path: Path
    row: int
    bucket: str
    key: str


@dataclass(frozen=True)
class Prepared:
    """A prepared folder.

    Attributes:
        clips: Training clips, in the order of the shards.
        null_text: Denoiser keywords of the null text, `[1, L, D]` each.
        left_out: Clips that aren't used, with the reason.
        note: What it holds, in a line.
    """

    clips: list[PreparedClip]
    null_text: dict[str, Tensor]
    left_out: dict[str, str]
    note: str


def image_facts(encoders: Encoders) -> dict[str, Any] | None:
    """Return what decides the image conditions of prepared clips besides weights; None for a text-to-video pipeline.

    Args:
        encoders: Of the base.
    """
    facts = encoders.image_facts
    if facts is None:
        return None
    return {**facts, "has_encoder": encoders.fingerprint("image_encoder") is not None}


def open_prepared(
    folder: Path,
    made_by: dict[str, str],
    code: MotionCode,
    max_sequence_length: int | None,
    image: dict[str, Any] | None = None,
) -> Prepared:
    """Open a prepared folder for training.

    Args:
        folder: That `videojam data prepare` made.
        made_by: Fingerprints of the base's encoders; those of every shard have to be the same.
        code: Motion code of the recipe.
        max_sequence_length: Text tokens of the recipe, or of the base by default; None: the folder's.
        image: What `image_facts` says of an image-to-video base; None: image conditions aren't read.

    Raises:
        VideoJamError: not a prepared folder, an unfinished one, or one that another model, motion code or text
            length made, or that holds no image conditions; names the field.
    """
    facts = prepared_facts(folder)
    if image is not None:
        _check_image(folder, facts.get("image"), image)
    stored: dict[str, Any] = {"motion": {**facts["motion"]}}
    stored["motion"].pop("noise", None)  # it doesn't change the latents
    asked: dict[str, Any] = {"motion": code.of_latents()}
    if facts["max_sequence_length"] is not None and max_sequence_length is not None:
        stored["max_sequence_length"] = facts["max_sequence_length"]
        asked["max_sequence_length"] = max_sequence_length
    check_same(stored, asked, "with which it was prepared", folder, OTHER_FIX)
    clips: list[PreparedClip] = []
    left_out = _unused(folder)
    shards = shard_files(folder)
    for path in shards:
        made = read_facts_of(path)
        check_same({name: made.get(name) for name in made_by}, made_by, "which made it", path, OTHER_FIX)
        left_out |= made["left_out"]
        rows = read_columns(path, ["clip_id", "caption", "bucket", "split", "content_hash", "start_s"])
        for number, row in enumerate(rows):
            if row["split"] != "train":
                left_out[row["clip_id"]] = f"it belongs to the split {row['split']!r}"
                continue
            key = fingerprints.of_text(f"{row['content_hash']} {row['start_s']} {row['caption']}")[:32]
            clips.append(PreparedClip(row["clip_id"], row["caption"], path, number, row["bucket"], key))
    note = f"{folder}: {len(clips)} prepared clips in {len(shards)} shards"
    return Prepared(clips, _null_text(folder), left_out, note)


def shard_files(folder: Path) -> list[Path]:
    """Return the shards of a prepared folder in order; one that is missing is refused.

    Raises:
        VideoJamError: the folder isn't finished.
    """
    shards = sorted(folder.glob("shard-*.parquet"))
    numbers = [int(path.name.split("-")[1]) for path in shards]
    num_shards = prepared_facts(folder)["num_shards"]
    missing = sorted(set(range(num_shards)) - set(numbers))
    if missing:
        raise VideoJamError(
            expected=f"{num_shards} shards",
            found=f"{len(shards)}; number {missing[0]} is missing",
            where=str(folder),
            fix="Run the same `videojam data prepare` again: it makes what is missing.",
        )
    return shards


def left_out_of(folder: Path) -> dict[str, str]:
    """Return the clips of a prepared folder that were found and aren't used, with the reason."""
    left_out = _unused(folder)
    for path in shard_files(folder):
        left_out |= read_facts_of(path)["left_out"]
    return left_out


def latent_names(path: Path, *, with_image: bool) -> tuple[str, ...]:
    """Return what training reads of a shard, by the names that it gives them: `x`, `d`, `text.*` and `image.*`.

    Args:
        path: Shard.
        with_image: Whether `image.*` is read.
    """
    wanted = ("text.", "image.") if with_image else ("text.",)
    return (*STORED, *(name for name in tensor_names(path) if name.startswith(wanted)))


def _check_image(folder: Path, stored: dict[str, Any] | None, asked: dict[str, Any]) -> None:
    """Refuse a folder without what this image-to-video model reads of the first frames."""
    if stored is None:
        raise VideoJamError(
            expected="columns image.*, which an image-to-video model reads of the first frame of each clip, and the "
            f"field image of {FACTS_NAME}, which says what made them",
            found="no such field",
            where=str(folder),
            fix="Prepare the clips into another folder with this base and --image-to-video, or train on the clips "
            "themselves (data.source.kind: folder or world).",
        )
    before, now = ({f"image.{name}": value for name, value in of.items()} for of in (stored, asked))
    check_same(before, now, "with which it was prepared", folder, OTHER_FIX)


def read_prepared_tensors(path: Path, row: int, keys: tuple[str, ...]) -> dict[str, Tensor]:
    """Read a clip's tensors by the names that training gives them.

    Args:
        path: Shard.
        row: In it.
        keys: `x`, `d`, `text.*`, `image.*`, `x_std`, `d_std`.

    Raises:
        VideoJamError: the bytes are not those that were written.
    """
    tensors = read_tensors(path, row, tuple(STORED.get(key, key) for key in keys))
    return {key: tensors[STORED.get(key, key)] for key in keys}


def _unused(folder: Path) -> dict[str, str]:
    path = folder / UNUSED_NAME
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise VideoJamError(
            expected="the clips that were left out, with their reasons",
            found=reason(error),
            where=str(path),
            fix="Run the same `videojam data prepare` again: it writes the file and keeps the shards.",
        ) from None


def _null_text(folder: Path) -> dict[str, Tensor]:
    path = folder / NULL_NAME
    try:
        return {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in load_file(path).items()
        }
    except (OSError, SafetensorError) as error:
        raise VideoJamError(
            expected="the null text's embedding",
            found=str(error),
            where=str(path),
            fix="Delete the file and run the same `videojam data prepare` again.",
        ) from None
