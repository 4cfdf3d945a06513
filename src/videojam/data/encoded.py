"""Encoded clips as training reads them: where their tensors are, and how they become batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from videojam.data.cache import read_encoded
from videojam.data.clips import ClipEntry
from videojam.data.prepared import latent_names, read_prepared_tensors
from videojam.errors import VideoJamError
from videojam.joint.batch import Batch


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
        reads_image: Whether the image condition of its shard is read; a text-to-video base has no use for it.
        entry: What it is encoded from in each step, where its file holds only its text; None: its file holds it.
    """

    name: str
    caption: str
    path: Path
    row: int | None = None
    bucket: str = ""
    content: str = ""
    reads_image: bool = True
    entry: ClipEntry | None = None

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


def read_latents(
    clip: EncodedClip, keys: tuple[str, ...] | None = None, *, with_std: bool = False
) -> dict[str, Tensor]:
    """Read a clip's tensors: `x`, `d`, and the keywords `text.*` and `image.*`.

    Args:
        clip: In the cache or in a shard.
        keys: Which of them; all if None.
        with_std: Read the posterior's deviations `x_std` and `d_std` too, which only shards hold.

    Raises:
        VideoJamError: the file is gone, its bytes are not those that were written, or it holds no deviations.
    """
    if clip.row is not None:
        keys = keys or latent_names(clip.path, with_image=clip.reads_image)
        return read_prepared_tensors(clip.path, clip.row, (*keys, "x_std", "d_std") if with_std else keys)
    if with_std:
        raise VideoJamError(
            expected="clips with the deviations of their posteriors",
            found="clips of the cache, which holds the means",
            where="data.draw: posterior",
            fix="Prepare the clips (videojam data prepare) and train with data.source.kind: prepared, set "
            "data.encode: online, or set data.draw: mean.",
        )
    return read_encoded(clip.path, keys, f"the cached latents of {clip.name}")


def stacked(clips: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack the tensors of clips, as they were read, into one of each name."""
    return {key: torch.stack([tensors[key] for tensors in clips]) for key in clips[0]}


def batch_of(tensors: dict[str, Tensor], device: torch.device | str) -> Batch:
    """Return stacked tensors as a batch on a device, float32."""
    moved = {key: tensor.to(device, non_blocking=True).float() for key, tensor in tensors.items()}
    cond = {
        key.partition(".")[2]: value for key, value in moved.items() if key.startswith(("text.", "image."))
    }
    return Batch(moved["x"], moved["d"], cond)


def read_batch(clips: list[EncodedClip], device: torch.device | str) -> Batch:
    """Read clips from the cache into one batch, float32."""
    return batch_of(stacked([read_latents(clip) for clip in clips]), device)
