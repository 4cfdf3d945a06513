"""Loading a pipeline's encoders without its transformers: a few GB in place of tens, one encoder after another."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch

from videojam.errors import VideoJamError
from videojam.families import FAMILIES, family_of
from videojam.models.check import read_json, require_pipeline
from videojam.models.folder import open_folder
from videojam.models.load import LoadedModel
from videojam.models.record import load_defaults, load_record
from videojam.models.resolve import resolve

TEXT_PARTS = ("text_encoder", "tokenizer")
"""Beginnings of the names of what encodes text."""

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16}


@contextmanager
def loaded_encoders(
    source: str | Path, part: Literal["text", "pixels"], device: str | torch.device = "cpu"
) -> Iterator[LoadedModel]:
    """Yield a pipeline with only its text encoders, or only its autoencoder and image encoder; free it afterwards.

    Text encoders keep the type of their stored weights; the autoencoder is in float32. A transformer is there by its
    config only.

    Args:
        source: Pipeline folder, hub id or shipped model.
        part: Which encoders.
        device: Where to put them.

    Raises:
        VideoJamError: no such pipeline, or a part of it is missing.
    """
    folder = resolve(source)
    require_pipeline(folder)
    model = _load(folder, part, str(source))
    try:
        model.pipeline.to(device)
        yield model
    finally:
        pipe = model.pipeline
        for name in list(pipe.components):
            setattr(pipe, name, None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _load(folder: Path, part: str, source: str) -> LoadedModel:
    from diffusers import DiffusionPipeline

    index = read_json(folder / "model_index.json")
    components = {name: value for name, value in index.items() if isinstance(value, list) and value[0]}
    configs = {
        name: value[1] for name, value in components.items() if value[1] in FAMILIES
    }  # transformers, by the name of their class
    unwanted = [
        name
        for name in components
        if name in configs or (name.startswith(TEXT_PARTS) != (part == "text") and name != "scheduler")
    ]
    dtypes = {"default": _text_dtype(folder) if part == "text" else torch.float32, "vae": torch.float32}
    try:
        pipe: Any = DiffusionPipeline.from_pretrained(
            folder, torch_dtype=dtypes, local_files_only=True, **dict.fromkeys(unwanted)
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise VideoJamError(
            expected="a pipeline folder that diffusers loads",
            found=(str(error).strip().splitlines() or [type(error).__name__])[0],
            where=str(folder),
            fix="Copy or download the folder again; if its class is new, update diffusers and transformers.",
        ) from error
    for name, class_name in configs.items():
        setattr(pipe, name, _config_only(folder / name, class_name))
    return LoadedModel(pipe, family_of(pipe), load_record(folder), load_defaults(folder), source)


def _text_dtype(folder: Path) -> torch.dtype:
    """Return the type in which the text encoder's weights are stored; float32 where they are of several."""
    headers = open_folder(folder).others.get("text_encoder", ())
    kinds = {entry.dtype for header in headers for entry in header.entries.values()}
    return DTYPES.get(kinds.pop(), torch.float32) if len(kinds) == 1 else torch.float32


def _config_only(path: Path, class_name: str) -> Any:
    """Return what has a transformer's class name and config, and no weights.

    It is no module, so that the pipeline's device is that of its encoders.
    """
    import diffusers

    stock = getattr(diffusers, class_name)
    return type(class_name, (_NotLoaded,), {"config": _Config(stock, read_json(path / "config.json"))})()


class _NotLoaded:
    """A transformer of which only the config is there."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("the transformer's weights were not loaded")


class _Config(dict[str, Any]):
    """A config with its keys as attributes, and the class's defaults for those that the file leaves out."""

    def __init__(self, stock: type, content: dict[str, Any]) -> None:
        import inspect

        parameters = inspect.signature(stock).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
        super().__init__({**defaults, **content})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None
