"""The weaker model of autoguidance: transformers of another folder that fit those of the model."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from videojam.errors import VideoJamError
from videojam.families.stock import Transformer
from videojam.models.check import require_pipeline
from videojam.models.folder import ModelFolder, open_folder
from videojam.models.load import LoadedModel
from videojam.models.resolve import resolve
from videojam.models.tensors import missing_tensor

READ_BY_BOTH = ("patch_size", "patch_size_t", "text_dim", "text_embed_dim", "caption_channels", "image_dim")
"""Config keys that say what a transformer reads, beside its channels; not every class has each."""


def load_weaker(model: LoadedModel, source: str) -> dict[str, Any]:
    """Load the transformers of a weaker model, by component name; the last ones loaded are kept.

    Args:
        model: What it guides.
        source: Pipeline folder, hub id or shipped model, of the same base.

    Raises:
        VideoJamError: the folder is not whole, or its transformers don't fit the model's.
    """
    folder = resolve(source)
    require_pipeline(folder)
    opened = open_folder(folder)
    _require_same_kind(model, opened, source)
    transformers = model.family.transformers(model.pipeline)
    for name, module in transformers.items():
        _require_fitting(model, module, opened, name, source)
    return {
        name: _load(type(module), opened.transformers[name].path, module.dtype, module.device)
        for name, module in transformers.items()
    }


def _require_same_kind(model: LoadedModel, opened: ModelFolder, source: str) -> None:
    """Refuse a base beside a joint model, and another motion code."""
    words = {True: "a joint model", False: "a base model"}
    if bool(opened.is_joint()) != model.is_joint:
        raise _unfit(words[model.is_joint], words[not model.is_joint], source)
    ours, theirs = model.record, opened.record
    if ours is not None and theirs is not None and ours.motion != theirs.motion:
        raise _unfit(f"motion by {ours.motion}", f"motion by {theirs.motion}", source)


def _require_fitting(
    model: LoadedModel, module: Transformer, opened: ModelFolder, name: str, source: str
) -> None:
    """Refuse a transformer of another class, or one that reads or predicts another number of channels."""
    if name not in opened.transformers:
        raise _unfit(f"a component {name!r}", f"only {', '.join(opened.transformers)}", source)
    other, family = opened.transformers[name], model.family
    if other.family.transformer_class != family.transformer_class:
        raise _unfit(f"{name} of {family.transformer_class}", other.family.transformer_class, source)
    for key in (family.in_key, family.out_key, *READ_BY_BOTH):
        ours, theirs = module.config.get(key), other.config.get(key, module.config.get(key))
        if _plain(ours) != _plain(theirs):
            raise _unfit(f"{name} with {key} = {ours}", f"{key} = {theirs}", source)
    stored = {key for header in other.headers for key in header.entries}
    if not stored:
        raise missing_tensor(family.input_weight, 1, other.path)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


@lru_cache(maxsize=2)
def _load(kind: Any, path: Path, dtype: torch.dtype, device: torch.device) -> Any:
    module = kind.from_pretrained(path, torch_dtype=dtype, local_files_only=True)
    return module.to(device).eval().requires_grad_(False)


def _unfit(expected: str, found: str, source: str) -> VideoJamError:
    return VideoJamError(
        expected=f"a weaker model that fits the model: {expected}",
        found=found,
        where=source,
        fix="Give an earlier checkpoint of the same training, or another model of the same base and kind.",
    )
