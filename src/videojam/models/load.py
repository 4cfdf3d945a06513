"""Loading a model folder or hub id, base or joint, for sampling."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from videojam import fingerprints
from videojam.errors import VideoJamError
from videojam.families import Family, family_of
from videojam.families.stock import Pipeline
from videojam.models.check import not_loadable, read_json, require_pipeline
from videojam.models.folder import ModelFolder, all_or_none, open_folder
from videojam.models.record import (
    RECORD_NAME,
    MotionRecord,
    SamplingDefaults,
    check_motion_code,
    load_defaults,
)
from videojam.models.resolve import resolve
from videojam.models.tensors import missing_tensor
from videojam.models.transformer import float_buffers_to
from videojam.models.upcast import compute_blocks_in_float32

NEEDED = ("vae", "text_encoder", "tokenizer", "scheduler")
"""Components that a pipeline of every family has, beside its transformers."""
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")
"""Components that read text, where a pipeline has them."""


@dataclass(frozen=True)
class LoadedModel:
    """A stock pipeline with what its folder says of motion.

    Attributes:
        pipeline: The stock diffusers pipeline.
        family: Its family.
        record: The motion record; None for a base model.
        defaults: Sampling defaults of the folder.
        source: Folder or hub id it came from.
    """

    pipeline: Pipeline
    family: Family
    record: MotionRecord | None = None
    defaults: SamplingDefaults = SamplingDefaults()  # noqa: RUF009 - frozen
    source: str = "memory"

    @property
    def is_joint(self) -> bool:
        """Whether the model predicts motion beside appearance."""
        return self.record is not None

    @property
    def weights(self) -> dict[str, str]:
        """Hashes of what its clips depend on, by part: the transformers, the autoencoder, the text encoder."""
        pipe = self.pipeline
        parts = {**self.family.transformers(pipe), "vae": pipe.vae, "text_encoder": pipe.text_encoder}
        if "connectors" in pipe.components:
            parts["connectors"] = pipe.connectors
        return {name: fingerprints.of_module(part)[:16] for name, part in parts.items() if part is not None}


def load_model(
    source: str | Path,
    *,
    torch_dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    offload: bool = False,
    revision: str | None = None,
    style: str | None = None,
) -> LoadedModel:
    """Load a base or joint pipeline through diffusers, check that it is whole, and read its motion record.

    Args:
        source: Pipeline folder or hub id.
        torch_dtype: Type of transformer and text encoder; float32 on the CPU and bfloat16 elsewhere if not
            given. The autoencoder stays in float32.
        device: Where to run.
        offload: Keep each component on the CPU while it doesn't run (`enable_model_cpu_offload`).
        revision: Revision of a hub id.
        style: Refuse the model if it was trained with another colour style than this.

    Raises:
        VideoJamError: missing or half-copied folder, unknown class, a joint model without its record, or a
            record without a joint model.
    """
    if offload and torch.device(device).type == "cpu":
        raise VideoJamError(
            expected="an accelerator to offload from",
            found="device cpu",
            where="offload",
            fix="Leave offload out, or give a device such as cuda.",
        )
    folder = resolve(source, revision)
    require_pipeline(folder)
    opened = open_folder(folder)
    opened.is_joint()  # refuses a mixture before anything is loaded
    dtype = torch_dtype or (torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16)
    pipe = _load_pipeline(folder, dtype)
    record = opened.record
    family = family_at(pipe, record)
    _check_whole(pipe, opened)
    _check_record(pipe, family, record, folder)
    if record is not None:
        check_motion_code(record, style=style)
    if offload:
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)
    return LoadedModel(pipe, family, record, load_defaults(folder), str(source))


def load_without_texts(
    source: str | Path, given: dict[str, Any] | None = None, *, device: str | torch.device = "cpu"
) -> LoadedModel:
    """Load a pipeline in float32 without its text encoders, checked as `load_model` does.

    Of two experts, each that isn't given keeps the type of its file and computes in float32, bit for bit as its float32
    copy: memory holds no more of one than it is.

    Args:
        source: Pipeline folder or hub id.
        given: Components that are taken as they are and not loaded, by name.
        device: Where to put what is loaded.

    Raises:
        VideoJamError: as `load_model`.
    """
    folder, given = resolve(source), given or {}
    require_pipeline(folder)
    opened = open_folder(folder)
    opened.is_joint()
    index = read_json(folder / "model_index.json")
    absent = {name: None for name in TEXT_ENCODERS if index.get(name, [None])[0] is not None}
    own = {name: part.stored_dtype for name, part in opened.transformers.items() if name not in given}
    own = own if len(opened.transformers) > 1 else {}
    pipe = _load_pipeline(folder, torch.float32, {**absent, **given}, own)
    family = family_at(pipe, opened.record)
    _check_whole(pipe, opened, {*absent, *given})
    if not given:
        _check_record(pipe, family, opened.record, folder)
    for name, module in pipe.components.items():
        if isinstance(module, torch.nn.Module) and name not in given:
            module.to(device)
    for name in own:
        float_buffers_to(getattr(pipe, name), torch.float32)
        compute_blocks_in_float32(getattr(pipe, name))
    return LoadedModel(pipe, family, opened.record, load_defaults(folder), str(source))


def _load_pipeline(
    folder: Path,
    dtype: torch.dtype,
    given: dict[str, Any] | None = None,
    own: dict[str, torch.dtype] | None = None,
) -> Pipeline:
    """Load a pipeline through diffusers; what it can't load is an error of the folder's.

    Args:
        folder: Pipeline folder.
        dtype: Type of its weights; the autoencoder is in float32.
        given: Components that are not loaded, by name.
        own: Types of others, by name.

    Raises:
        VideoJamError: with diffusers' own reason.
    """
    import diffusers

    # with given components the folder's own class: the general one would not take them
    name = read_json(folder / "model_index.json")["_class_name"] if given else "DiffusionPipeline"
    dtypes = {"default": dtype, "vae": torch.float32, **(own or {})}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # older diffusers know only `torch_dtype`
            pipe: Pipeline = getattr(diffusers, name).from_pretrained(
                folder, torch_dtype=dtypes, local_files_only=True, **(given or {})
            )
            return pipe
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError) as error:
        if "allocate memory" in str(error):
            raise
        raise not_loadable(folder, error) from error


def _check_whole(pipe: Pipeline, folder: ModelFolder, but: set[str] | None = None) -> None:
    """Refuse a pipeline with a part missing, or a transformer that diffusers filled with random numbers.

    Args:
        pipe: The pipeline.
        folder: Where it was loaded from.
        but: Components that were left out or given.
    """
    but = but or set()
    for name in NEEDED:
        if getattr(pipe, name, None) is None and name not in but:
            raise VideoJamError(
                expected=f"the component {name!r} in model_index.json",
                found="no such component",
                where=str(folder.path),
                fix="Take the whole pipeline: its text encoder, tokenizer, autoencoder and scheduler too.",
            )
    for name, transformer in folder.transformers.items():
        if name in but:
            continue
        stored = {key for header in transformer.headers for key in header.entries}
        missing = sorted(getattr(pipe, name).state_dict().keys() - stored)
        if missing:
            raise missing_tensor(missing[0], len(missing), transformer.path)


def with_image(model: LoadedModel) -> LoadedModel:
    """Return the model with its image-to-video pipeline: its own, or that of a base which does both.

    Raises:
        VideoJamError: the base is only text-to-video.
    """
    if model.family.takes_image(model.pipeline):
        return model
    pipe = model.family.image_pipeline(model.pipeline)
    if pipe is None:
        raise VideoJamError(
            expected="only prompts",
            found="an image for a text-to-video base",
            where=model.source,
            fix="Leave the image out (image_to_video in a recipe), or take an image-to-video base.",
        )
    return replace(model, pipeline=pipe, family=family_at(pipe, model.record))


def family_at(pipe: Pipeline, record: MotionRecord | None) -> Family:
    """Return a pipeline's family, as its motion record says whether d has a noise level of its own."""
    return family_of(pipe).at_noise("same" if record is None else record.motion.noise)


def _check_record(pipe: Pipeline, family: Family, record: MotionRecord | None, folder: Path) -> None:
    """Refuse a joint model without its record, experts of which one is joint, and a record of a base."""
    modules = family.transformers(pipe).items()
    is_joint = all_or_none(
        {name: family.is_joint(module.config, pipe.vae.config) for name, module in modules}, folder
    )
    if is_joint and record is None:
        raise VideoJamError(
            expected=f"the motion record {RECORD_NAME} beside model_index.json",
            found="a joint model without it, so its motion code is unknown",
            where=str(folder),
            fix=f"Copy {RECORD_NAME} from where the model was trained or converted.",
        )
    if record is not None and not is_joint:
        raise VideoJamError(
            expected="a joint transformer, as the motion record says",
            found=f"{family.vae_channels(pipe.vae.config)} channels in its output, a base model",
            where=str(folder),
            fix=f"Remove {RECORD_NAME}, or put the joint transformer back.",
        )


def quiet_loading() -> None:
    """Hide the loading bars and advice of diffusers and transformers: the command line shows its own."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")  # of torch.rms_norm
    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()
