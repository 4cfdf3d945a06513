"""From trained weights to a stock folder: the base's other parts, the transformer, the record, the proof."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch

from videojam.errors import VideoJamError
from videojam.files import written_whole
from videojam.joint.convert import copy_rest
from videojam.joint.widen import OutputInit, widen_transformer
from videojam.models.load import LoadedModel, family_at
from videojam.models.record import (
    FINGERPRINT_NAME,
    RECORD_NAME,
    MotionRecord,
    load_defaults,
    save_record,
)
from videojam.models.resolve import resolve
from videojam.models.upcast import compute_blocks_in_float32
from videojam.motion.choices import Noise
from videojam.sampling.verify import VerifyReport, load_for_fingerprint, save_fingerprint, verify

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Destination:
    """Where trained weights go, and in what.

    Attributes:
        base: Pipeline whose other parts the folder gets.
        folder: Folder to write.
        save_dtype: Type of the weights.
        output_init: How the motion rows of experts that the run did not train start.
    """

    base: str
    folder: Path
    save_dtype: Literal["bf16", "fp32"]
    output_init: OutputInit = "zero"


def export_model(
    destination: Destination, transformer: Any, component: str, record: MotionRecord | None
) -> VerifyReport:
    """Write a stock pipeline folder, and prove that loading it gives what was trained.

    The weights are rounded to `save_dtype` first; the fingerprint of the model in memory is stored, the folder is
    loaded through the public path, and the same seed must give the same latents.

    Args:
        destination: Where to.
        transformer: Trained transformer; adapters fused.
        component: Its name in the pipeline.
        record: Motion record; None for the control.

    Raises:
        VideoJamError: no room or permission, or the loaded model differs from the one in memory.
    """
    out = destination.folder
    fix = "Free space and start again: the last checkpoint stands."
    with written_whole(out, fix, replaces=FINGERPRINT_NAME) as temporary:
        _write(destination, temporary, transformer, component, record)
    report = verify(out)
    if not report.ok:
        raise VideoJamError(
            expected="the loaded model to sample what the model in memory sampled",
            found=f"latents that differ by {report.max_difference} deviations",
            where=str(out),
            fix="Do not use this folder; report it with the recipe and the versions in run.json.",
        )
    return report


def _write(
    destination: Destination, temporary: Path, transformer: Any, component: str, record: MotionRecord | None
) -> None:
    """Write the folder under its temporary name; the pipeline that makes the fingerprint is freed at the end."""
    folder, dtype = resolve(destination.base), DTYPES[destination.save_dtype]
    pipe = load_for_fingerprint(destination.base, {component: transformer}).pipeline
    written = {component: transformer}
    if record is not None:
        written |= _widened_others(pipe, component, destination.output_init, record.motion.noise)
    for module in written.values():
        for parameter in module.parameters():
            parameter.data.copy_(parameter.data.to(dtype))  # in place: no second copy of all
    copy_rest(folder, temporary, skip=[folder / name for name in written])
    (temporary / RECORD_NAME).unlink(missing_ok=True)
    model = LoadedModel(pipe, family_at(pipe, record), record, load_defaults(folder), str(destination.folder))
    save_fingerprint(model, temporary)
    for name, module in written.items():
        module.to(dtype).save_pretrained(temporary / name)
    if record is not None:
        save_record(record, temporary)


def _widened_others(pipe: Any, component: str, output_init: OutputInit, noise: Noise) -> dict[str, Any]:
    """Convert the experts that the run didn't train, in the pipeline, where they are still the base's."""
    from videojam.families import family_of

    family = family_of(pipe)
    others = {
        name: widen_transformer(cast(torch.nn.Module, module), output_init, noise)
        for name, module in family.transformers(pipe).items()
        if name != component and not family.is_joint(module.config, pipe.vae.config)
    }
    for name, module in others.items():
        compute_blocks_in_float32(module)
        setattr(pipe, name, module)
    return others
