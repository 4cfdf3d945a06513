"""Finding what made a loss NaN: a base or a clip that was NaN before training, or the training itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from videojam.data.encoded import EncodedClip, read_latents
from videojam.errors import VideoJamError
from videojam.models.stream import is_finite
from videojam.training.batches import clips_of_step
from videojam.training.log import Line
from videojam.training.sharding import local
from videojam.training.state import TrainRun

MAX_BAD_IN_A_ROW = 20
"""Steps that may be left out one after the other, before a run that skips them stops all the same."""


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


def refuse_bad_steps(run: TrainRun, bad: list[Line]) -> None:
    """Stop a run whose recipe says so at a step that was left out, or after many of them in a row.

    Args:
        run: Where it stands.
        bad: Numbers of the steps that were left out since the last look.

    Raises:
        VideoJamError: names the step, and the clip or weights that are NaN, if any.
    """
    if not bad:
        return
    in_a_row, policy = run.state.counts.get("bad_in_a_row", 0), run.config.bad_steps
    if policy == "skip" and in_a_row < MAX_BAD_IN_A_ROW:
        return
    first, limit = bad[0], run.config.optimizer.largest_norm
    norm = first["grad_norm"]
    if policy == "skip":
        found = f"{in_a_row} steps in a row that were left out; of the first of them: "
    else:
        found = ""
    found += f"loss {first['loss']}, gradient norm {norm}"
    if limit is not None and limit < norm < math.inf:
        raise VideoJamError(
            expected=f"a gradient norm of at most {limit:g} (optimizer.largest_norm)",
            found=found,
            where=f"step {first['step']}",
            fix="Lower optimizer.learning_rate, raise the limit, or set bad_steps: skip to leave such steps out; the "
            "step changed no weight, and the last checkpoint is whole.",
        )
    numbers = clips_of_step(run.buckets, run.batch_size, run.config.seed, first["step"] - 1)
    raise non_finite(run, found, [run.clips[number] for number in numbers], first["step"])


def non_finite(run: TrainRun, found: str, clips: Iterable[EncodedClip], step: int) -> VideoJamError:
    """Return the error of a loss or gradient that is NaN: it names a clip or weights that are NaN themselves.

    Args:
        run: The run that stopped.
        found: What was NaN, with its value.
        clips: Clips that it was measured on.
        step: Number of the step.
    """
    for clip in clips:
        if clip.entry is not None:  # encoding refuses what is not finite
            continue
        bad = [key for key, tensor in read_latents(clip).items() if not is_finite(tensor)]
        if bad:
            return VideoJamError(
                expected="finite latents and text in the cache",
                found=f"NaN or infinity in {', '.join(bad)}; {found}",
                where=f"step {step}: {clip.name}, cached in {clip.path}",
                fix="Remove that file, so that the clip is encoded again; the last checkpoint is whole.",
            )
    weights = [name for name, tensor in run.state.parameters.items() if not is_finite(local(tensor))]
    if weights:
        found += f"; {len(weights)} of the trained weights are not finite, such as {weights[0]}"
    precision = "" if run.config.precision == "fp32" else ", set precision: fp32"
    return VideoJamError(
        expected="a finite loss and gradient",
        found=found,
        where=f"step {step}",
        fix=f"Lower optimizer.learning_rate{precision}, or set bad_steps: skip to leave single steps out; the clips "
        "are finite and the last checkpoint is whole.",
    )
