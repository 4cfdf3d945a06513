"""Finding what made a loss NaN: a base or a clip that was NaN before training, or the training itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from videojam.data.encode import EncodedClip, read_latents
from videojam.errors import VideoJamError
from videojam.training.state import TrainRun


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity; one without data holds nothing."""
    if not tensor.numel() or not tensor.is_floating_point() or tensor.is_meta:
        return True
    return all(
        bool(torch.isfinite(end)) for end in torch.aminmax(tensor.detach())
    )  # no copy as large as the tensor


def check_finite_weights(components: dict[str, Any], source: str) -> None:
    """Refuse a base with NaN or infinite weights before anything is trained on it.

    Args:
        components: The pipeline's, by name; those without weights are passed over.
        source: Folder or hub id, for the message.

    Raises:
        VideoJamError: names the component and the first such tensor.
    """
    for name, module in components.items():
        if isinstance(module, torch.nn.Module):
            bad = [key for key, tensor in module.state_dict().items() if not is_finite(tensor)]
            if bad:
                raise VideoJamError(
                    expected="finite weights",
                    found=f"NaN or infinity in {len(bad)} tensors, the first being {bad[0]}",
                    where=f"base: {source}, {name}",
                    fix="Take the files from an intact copy of the model, or choose another base.",
                )


def non_finite(run: TrainRun, found: str, clips: Iterable[EncodedClip]) -> VideoJamError:
    """Return the error of a loss or gradient that is NaN: it names a clip or weights that are NaN themselves.

    Args:
        run: The run that stopped.
        found: What was NaN, with its value.
        clips: Clips that it was measured on.
    """
    step = run.state.step + 1
    for clip in clips:
        bad = [key for key, tensor in read_latents(clip).items() if not is_finite(tensor)]
        if bad:
            return VideoJamError(
                expected="finite latents and text in the cache",
                found=f"NaN or infinity in {', '.join(bad)}; {found}",
                where=f"step {step}: {clip.name}, cached in {clip.path}",
                fix="Remove that file, so that the clip is encoded again; the last checkpoint is whole.",
            )
    weights = [name for name, tensor in run.state.parameters.items() if not is_finite(tensor)]
    if weights:
        found += f"; {len(weights)} of the trained weights are not finite, such as {weights[0]}"
    precision = "" if run.config.precision == "fp32" else ", or set precision: fp32"
    return VideoJamError(
        expected="a finite loss and gradient",
        found=found,
        where=f"step {step}",
        fix=f"Lower optimizer.learning_rate{precision}; the clips are finite and the last checkpoint is whole.",
    )
