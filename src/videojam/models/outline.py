"""A pipeline without its transformers: by configs only, or with its text encoders or what encodes pixels loaded."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch

from videojam.families import FAMILIES
from videojam.families.stock import Pipeline
from videojam.models.check import not_loadable, read_json, require_pipeline
from videojam.models.configs import empty_module, with_defaults
from videojam.models.folder import PIXEL_PARTS, TEXT_PARTS, open_folder, stored_dtype
from videojam.models.load import TEXT_ENCODERS, LoadedModel, family_at
from videojam.models.record import load_defaults, load_record
from videojam.models.resolve import resolve

Part = Literal["text", "pixels", "none"]
PARTS: dict[Part, tuple[str, ...]] = {"text": TEXT_PARTS, "pixels": PIXEL_PARTS, "none": ()}


@contextmanager
def loaded_encoders(
    source: str | Path, part: Literal["text", "pixels"], device: str | torch.device = "cpu"
) -> Iterator[LoadedModel]:
    """Yield a pipeline with only its text encoders, or only its autoencoder and image encoder; free it afterwards.

    Text encoders keep the type of their stored weights; the autoencoder is in float32. A transformer is there by its
    config only, and so is the autoencoder beside text encoders.

    Args:
        source: Pipeline folder, hub id or shipped model.
        part: Which encoders.
        device: Where to put them.

    Raises:
        VideoJamError: no such pipeline, or a part of it is missing.
    """
    model = _load(source, part)
    pipe = model.pipeline
    try:
        _move(pipe, device)
        yield model
    finally:
        free(pipe)


def _move(pipe: Pipeline, device: str | torch.device) -> None:
    """Put what has weights on a device."""
    for module in pipe.components.values():
        if isinstance(module, torch.nn.Module) and not _is_empty(module):
            module.to(device)


def free(pipe: Pipeline) -> None:
    """Take all components out of a pipeline; garbage is collected only where a module of theirs is still in memory."""
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    modules = [weakref.ref(module) for part in parts for module in part.modules()]
    parts.clear()
    for name in list(pipe.components):
        setattr(pipe, name, None)
    if any(module() is not None for module in modules):
        gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def outline(source: str | Path, *, configs_only: bool = False) -> LoadedModel:
    """Return a pipeline of which nothing but configs is there: no weight is read, none is in memory.

    Args:
        source: Pipeline folder, hub id or shipped model.
        configs_only: Of a hub id, fetch no more than the configs.

    Raises:
        VideoJamError: no such pipeline.
    """
    return _load(source, "none", configs_only)


def _is_empty(module: torch.nn.Module) -> bool:
    return any(parameter.is_meta for parameter in module.parameters())


def _load(source: str | Path, part: Part, configs_only: bool = False) -> LoadedModel:
    folder = resolve(source, configs_only=configs_only)
    require_pipeline(folder)
    index = read_json(folder / "model_index.json")
    components = {name: value for name, value in index.items() if isinstance(value, list) and value[0]}
    transformers = {name: value[1] for name, value in components.items() if value[1] in FAMILIES}
    pipe: Any = _from_pretrained(folder, part, [name for name in components if name not in transformers])
    for name, class_name in transformers.items():
        setattr(pipe, name, _config_only(folder / name, class_name))
    record = load_record(folder)
    return LoadedModel(pipe, family_at(pipe, record), record, load_defaults(folder), str(source))


def _from_pretrained(folder: Path, part: Part, names: list[str]) -> Any:
    """Load a pipeline with one part of its encoders; an autoencoder that isn't asked for is there by its config."""
    import diffusers

    index = read_json(folder / "model_index.json")
    given: dict[str, Any] = {
        name: None
        for name in names
        if name not in ("scheduler", "guider") and not name.startswith(PARTS[part])
    }
    given |= {name: None for name in index if name.startswith("transformer")}
    if "vae" in given:
        given["vae"] = empty_module(read_json(folder / "vae" / "config.json")).eval()
    dtypes = {"default": torch.float32}
    if part == "text":
        others = open_folder(folder).others
        dtypes |= {name: stored_dtype(others.get(name, ())) for name in TEXT_ENCODERS if name in names}
    try:
        # its own class: the general one takes no None for an optional component, and would load Wan's transformers
        stock = getattr(diffusers, index["_class_name"])
        return stock.from_pretrained(folder, torch_dtype=dtypes, local_files_only=True, **given)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise not_loadable(folder, error) from error


def _config_only(path: Path, class_name: str) -> Any:
    """Return what has a transformer's class name and config, and no weights.

    It is no module, so that the pipeline's device is that of its encoders.
    """
    config = _Config(with_defaults(class_name, read_json(path / "config.json")))
    return type(class_name, (_NotLoaded,), {"config": config})()


class _NotLoaded:
    """A transformer of which only the config is there."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("the transformer's weights were not loaded")


class _Config(dict[str, Any]):
    """A config with its keys as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None
