"""One whole model folder of what is exported: a run's averaged or last weights, adapters on their base, or a model."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from videojam.errors import VideoJamError
from videojam.families import family_of
from videojam.joint.widen import widen_transformer
from videojam.models.folder import open_folder
from videojam.models.load import LoadedModel, load_model
from videojam.models.record import FINGERPRINT_NAME, RECORD_NAME, MotionRecord, load_record
from videojam.models.resolve import resolve
from videojam.training.ema import put_average
from videojam.training.export import Destination, export_model
from videojam.training.finish import finish, plain_copy, record_after
from videojam.training.lora import load_lora
from videojam.training.outcome.run_facts import RunFacts
from videojam.training.outcome.settings import ExportSettings
from videojam.training.resume import resume
from videojam.training.trainable import build_state, chosen_component, load_trained, mark_trainable
from videojam.training.votes import Votes


def whole_model(source: str | Path, run: RunFacts | None, settings: ExportSettings, parts: Path) -> Path:
    """Return a stock folder with everything merged: one that exists, or one that is written here.

    Args:
        source: Run folder, pipeline folder, hub id or shipped model.
        run: What the run says, if it is one.
        settings: What to merge.
        parts: Folder for what has to be written.

    Raises:
        VideoJamError: settings that don't fit the source; a checkpoint or adapters that can't be used.
    """
    if run is None and settings.weights == "last":
        raise _not_of_a_model(source)
    if settings.lora is not None:
        if run is not None:
            raise VideoJamError(
                expected="the base of the adapters: a pipeline folder or a hub id",
                found="a run, whose adapters are merged already",
                where=str(source),
                fix="Leave lora out.",
            )
        return _with_lora(source, settings.lora, settings, parts)
    if run is None:
        return resolve(source)
    finished = run.folder / "model"
    if settings.weights == "average" and (finished / FINGERPRINT_NAME).is_file():
        return finished
    return _from_checkpoint(run, settings, parts)


def _from_checkpoint(run: RunFacts, settings: ExportSettings, parts: Path) -> Path:
    """Write the model of a run's newest whole checkpoint, as the end of the run would."""
    config = run.config.model_copy(update={"out": parts})
    if config.lora is not None:
        # adapters are fused into a float32 base, whatever type it had in training
        config = config.model_copy(update={"lora": config.lora.model_copy(update={"base_weights": "fp32"})})
    base = open_folder(resolve(config.base))
    component = chosen_component(config, base)
    transformer = load_trained(config, base, component)
    family = family_of(base.transformers[component].family.transformer_class)
    projections = mark_trainable(transformer, family, config.lora, config.seed)
    state = build_state(config, transformer)
    where = config.model_copy(update={"out": run.folder, "resume": "auto"})
    checkpoint, _ = resume(state, where, Votes())
    if checkpoint is None:
        raise VideoJamError(
            expected="a checkpoint, or the model of a finished run",
            found="neither",
            where=str(run.folder),
            fix="Let the run go on until its first checkpoint.",
        )
    if settings.weights == "average":
        put_average(state)
    earlier = load_record(run.folder / "model")
    record = None
    if config.method == "videojam":
        record = record_after(config, base.record, state.step, earlier.motion_std if earlier else None)
    finish(config, transformer.eval(), component, projections, record)
    return parts / "model"


def _with_lora(source: str | Path, lora: Path, settings: ExportSettings, parts: Path) -> Path:
    """Write a base with a run's adapters and projections merged into it."""
    base = load_model(source, torch_dtype=torch.float32)
    record = _record_with_lora(base, lora)
    transformers = base.family.transformers(base.pipeline)
    component = settings.expert or next(iter(transformers))
    if component not in transformers or (len(transformers) > 1 and settings.expert is None):
        raise VideoJamError(
            expected=f"expert: one of {', '.join(transformers)}, the one that the adapters belong to",
            found=f"expert: {settings.expert}",
            where=str(source),
            fix=f"Name it, for instance: --expert {next(iter(transformers))}",
        )
    transformer = cast(torch.nn.Module, transformers[component])
    if not base.is_joint:
        transformer = widen_transformer(transformer, record.output_init, record.motion.noise)
    load_lora(transformer, lora)
    destination = Destination(str(source), parts / "model", settings.save_dtype or "bf16", record.output_init)
    export_model(destination, plain_copy(transformer, fuse=True), component, record)
    return destination.folder


def _record_with_lora(base: LoadedModel, lora: Path) -> MotionRecord:
    if not lora.is_dir():
        raise VideoJamError(
            expected="the folder of a run's adapters, RUN/lora",
            found="a file" if lora.is_file() else "no such folder",
            where=str(lora),
            fix="Correct the path.",
        )
    record = load_record(lora) or base.record
    if record is None:
        raise VideoJamError(
            expected=f"the motion record {RECORD_NAME} beside the adapters, or a joint base",
            found="adapters without it, and a base that is not joint",
            where=str(lora),
            fix=f"Copy {RECORD_NAME} from RUN/model of their run, or convert the base first: videojam convert",
        )
    return record


def _not_of_a_model(source: str | Path) -> VideoJamError:
    return VideoJamError(
        expected="a run's folder, of which the weights of the last step can be taken",
        found="a model, which holds one set of weights",
        where=str(source),
        fix="Give the run's folder, or leave weights out.",
    )
