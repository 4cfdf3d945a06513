"""What is checked before and after a pipeline runs: memory, the length of texts, the image, finite latents."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.models.load import LoadedModel
from videojam.out_of_memory import NotEnoughMemoryError, memory_explained
from videojam.sampling.settings import ResolvedSettings

GIB = 2**30


def warn_of_cut_texts(
    model: LoadedModel, prompts: Sequence[str], settings: ResolvedSettings
) -> dict[str, str]:
    """Warn of texts that are longer than the text encoder reads, and return the end that is cut of each.

    Args:
        model: Base or joint model.
        prompts: Of the clips; the null text is checked beside them.
        settings: With the number of text tokens.
    """
    limit, cut = settings.max_sequence_length, {}
    for text in dict.fromkeys((*prompts, settings.negative_prompt or "")):
        end = _cut_end(getattr(model.pipeline, "tokenizer", None), text, limit)
        if end:
            cut[text] = end
            warnings.warn(
                f"the text encoder reads {limit} tokens, and {text[:40]!r}… is longer; cut from its end: {end!r}",
                stacklevel=3,
            )
    return cut


def _cut_end(tokenizer: Any, text: str, limit: int) -> str:
    if tokenizer is None or len(text) < limit // 2:  # a token has two bytes or more, but for rare ones
        return ""
    words = tokenizer(text, add_special_tokens=False, truncation=False).input_ids
    num_special = len(tokenizer(text, truncation=False).input_ids) - len(words)
    end: str = tokenizer.decode(words[max(limit - num_special, 0) :])
    return end.strip()


def require_texts(texts: Sequence[Any]) -> None:
    """Refuse prompts and null texts that no tokenizer reads.

    Args:
        texts: Of the clips, and the null text.

    Raises:
        VideoJamError: something that is no text, or bytes of the command line that are no UTF-8.
    """
    for text in texts:
        try:
            whole = isinstance(text, str) and text.encode() is not None
        except UnicodeEncodeError:  # Python keeps such bytes as half characters
            whole = False
        if not whole:
            raise VideoJamError(
                expected="text of whole characters (UTF-8)",
                found=ascii(text)[:80],
                where="the prompt or null text",
                fix="Write the text in UTF-8, or put it into a UTF-8 file and give @FILE.",
            )


def upright(image: Any) -> Any:
    """Return an image as it is seen: turned as its EXIF orientation says, in RGB. Other inputs stay as they are.

    Raises:
        VideoJamError: pixels whose white is not known, as those of 32 bits.
    """
    from PIL import Image, ImageOps

    if not isinstance(image, Image.Image):
        return image
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I;16"):  # Pillow cuts 16 bits at 255, which makes them white
        grey = (np.asarray(turned).astype(np.float64) / 257).round().astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if turned.mode in ("I", "F"):
        raise VideoJamError(
            expected="an image of 8 or 16 bits a channel",
            found=f"one of 32 bits (mode {turned.mode}), whose white is not known",
            where="the first frame",
            fix="Save it as a PNG of 8 bits.",
        )
    return turned.convert("RGB")


def reject_non_finite_sample(model: LoadedModel, latents: Tensor) -> None:
    """Raise if sampled latents hold NaN or infinity, and say where they come from.

    Args:
        model: Model that was sampled.
        latents: What came out.
    """
    if torch.isfinite(latents).all():
        return
    num_bad = int((~torch.isfinite(latents)).sum())
    raise VideoJamError(
        expected="finite numbers in the sampled latents",
        found=f"{num_bad} of {latents.numel()} values NaN or infinite",
        where=model.source,
        fix=_why_not_finite(model),
    )


def _why_not_finite(model: LoadedModel) -> str:
    for name, module in model.family.transformers(model.pipeline).items():
        for key, weight in module.named_parameters():
            if weight.device.type != "meta" and not torch.isfinite(weight).all():
                return (
                    f"The weight {key} of {name} is itself not finite: take the model from an intact copy or "
                    "from an earlier checkpoint."
                )
        if module.dtype == torch.float16:
            return f"The weights are finite; {name} runs in float16, whose range is small: use bfloat16."
    return "The weights are finite: lower w_text and w_motion, or take more steps."


def require_motion(model: LoadedModel, settings: ResolvedSettings) -> None:
    """Refuse a single frame of a joint model, whose motion could not be read, before it is sampled.

    Args:
        model: Base or joint model.
        settings: Sizes of a clip.

    Raises:
        VideoJamError: one frame.
    """
    if model.is_joint and settings.num_frames < 2:
        raise VideoJamError(
            expected="two frames or more, as a joint model predicts their motion",
            found=f"{settings.num_frames}",
            where="num_frames",
            fix=f"Ask for {model.family.smallest_clip(model.pipeline)[0]}, or sample the base for a picture.",
        )


def require_steps(model: LoadedModel, settings: ResolvedSettings) -> None:
    """Refuse one step of a scheduler that stretches its schedule to a last level above 0, which one step hasn't.

    Args:
        model: Base or joint model.
        settings: With the number of steps.

    Raises:
        VideoJamError: one step.
    """
    terminal = model.pipeline.scheduler.config.get("shift_terminal")
    if terminal and settings.num_steps < 2:
        raise VideoJamError(
            expected=f"two steps or more, as the scheduler ends its schedule at {terminal:.3g} (shift_terminal)",
            found=f"{settings.num_steps}",
            where="num_steps",
            fix="Take 2 steps or more.",
        )


def require_memory(model: LoadedModel, settings: ResolvedSettings, num_clips: int) -> None:
    """Refuse clips that are larger than the memory that is free, before the machine is brought to its knees.

    Args:
        model: Model to sample.
        settings: Sizes of a clip.
        num_clips: Clips sampled together.

    Raises:
        NotEnoughMemoryError: even the noise and the decoded clips don't fit; says what is free and what to lower.
    """
    free, needed = _free_ram(), _least_bytes(model, settings, num_clips)
    if free is None or needed <= free:
        return
    raise NotEnoughMemoryError(
        expected=f"memory for {_in_words(settings, num_clips)}",
        found=f"at least {needed / GIB:.1f} GiB needed for only the clips, {free / GIB:.1f} GiB free",
        where="sampling",
        fix=_what_to_lower(num_clips),
    )


def memory_explained_of(settings: ResolvedSettings, num_clips: int) -> AbstractContextManager[None]:
    """Return the context in which running out of memory names the clips that were asked for, and what to lower.

    Args:
        settings: Sizes of a clip.
        num_clips: Clips sampled together.
    """
    more = " On a GPU, offload and bfloat16 need less memory."
    return memory_explained(_in_words(settings, num_clips), _what_to_lower(num_clips) + more)


def _in_words(settings: ResolvedSettings, num_clips: int) -> str:
    return f"{num_clips} × {settings.num_frames} frames of {settings.width}×{settings.height} px"


def _what_to_lower(num_clips: int) -> str:
    fewer = f"the batch size (now {num_clips}), " if num_clips > 1 else ""
    return f"Lower {fewer}the frames, the height or the width."


def _least_bytes(model: LoadedModel, settings: ResolvedSettings, num_clips: int) -> int:
    """Return the bytes of the noise and of the decoded clips in float32: the least that a run takes."""
    sizes = settings.num_frames, settings.height, settings.width
    latents = prod(model.family.latent_shape(model.pipeline, *sizes))
    return 4 * num_clips * (1 + model.is_joint) * (latents + 3 * prod(sizes))


def _free_ram() -> int | None:
    """Return the memory that Linux says is available; None where it doesn't say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None
