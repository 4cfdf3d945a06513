"""A pipeline without its transformers: by config only, or with one encoder after another, each in its own type."""

from __future__ import annotations

import gc
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import init_empty_weights

from videojam import fingerprints
from videojam.families import FAMILIES
from videojam.families.stock import Pipeline
from videojam.models.check import not_loadable, read_json, require_pipeline
from videojam.models.folder import PIXEL_PARTS, TEXT_PARTS, open_folder, stored_dtype
from videojam.models.load import TEXT_ENCODERS, LoadedModel, family_at, with_image
from videojam.models.record import load_defaults, load_record
from videojam.models.resolve import resolve

Part = Literal["text", "pixels", "none"]
PARTS: dict[Part, tuple[str, ...]] = {"text": TEXT_PARTS, "pixels": PIXEL_PARTS, "none": ()}


class Encoders(ABC):
    """What turns clips and captions into latents and embeddings, loaded when it is needed."""

    @property
    @abstractmethod
    def outline(self) -> LoadedModel:
        """The pipeline and its family, of which configs, sizes and defaults are read."""

    @abstractmethod
    def text(self) -> AbstractContextManager[LoadedModel]:
        """Give the pipeline with its text encoders."""

    @abstractmethod
    def pixels(self) -> AbstractContextManager[LoadedModel]:
        """Give the pipeline with its autoencoder, and its image encoder if it has one."""

    @abstractmethod
    def fingerprint(self, name: str) -> str | None:
        """Return the hash by which the cache knows a component; None: there is no such component."""

    def text_fingerprints(self) -> list[str | None]:
        """Return the hashes of the components that encode text."""
        hashes = [self.fingerprint(name) for name in TEXT_ENCODERS]
        connectors = self.fingerprint("connectors")
        return hashes if connectors is None else [*hashes, connectors]

    @abstractmethod
    def made(self, folder_hashes: dict[str, str]) -> dict[str, str]:
        """Return the hashes of the modules that prepared data name; empty where their files are known to be the same.

        Args:
            folder_hashes: Hashes of the component folders that the data were made with.
        """

    @property
    def image_facts(self) -> dict[str, Any] | None:
        """Class and switches, which decide what an image-to-video pipeline makes of first frames; None: it is none."""
        pipe = self.outline.pipeline
        if not self.outline.family.takes_image(pipe):
            return None
        switches = {key: value for key, value in pipe.config.items() if isinstance(value, (bool, int, float))}
        return {"pipeline": type(pipe).__name__, **switches}


@dataclass(frozen=True)
class LoadedEncoders(Encoders):
    """Those of a model in memory.

    Attributes:
        model: It.
    """

    model: LoadedModel

    @property
    def outline(self) -> LoadedModel:
        """The model itself."""
        return self.model

    def text(self) -> AbstractContextManager[LoadedModel]:
        """Give the model."""
        return nullcontext(self.model)

    def pixels(self) -> AbstractContextManager[LoadedModel]:
        """Give the model."""
        return nullcontext(self.model)

    def fingerprint(self, name: str) -> str | None:
        """Hash a module."""
        module = getattr(self.model.pipeline, name, None)
        return None if module is None else fingerprints.of_module(module)

    def made(self, folder_hashes: dict[str, str]) -> dict[str, str]:
        """Hash the modules, which may differ from their files."""
        pipe = self.model.pipeline
        return pixel_hashes(pipe) | {"text_encoder": text_fingerprint(pipe)}


@dataclass(frozen=True)
class StoredEncoders(Encoders):
    """Those of a folder or hub id: one at a time is loaded, in its own type, and freed afterwards.

    Attributes:
        source: Pipeline folder, hub id or shipped model.
        device: Where they compute.
        image_to_video: Whether the image-to-video pipeline of a base that does both is asked for.
    """

    source: str | Path
    device: str | torch.device = "cpu"
    image_to_video: bool = False

    @cached_property
    def outline(self) -> LoadedModel:
        """The pipeline without weights."""
        return self._asked(outline(self.source))

    @contextmanager
    def text(self) -> Iterator[LoadedModel]:
        """Load the text encoders."""
        with loaded_encoders(self.source, "text", self.device) as model:
            yield model

    @contextmanager
    def pixels(self) -> Iterator[LoadedModel]:
        """Load the autoencoder and image encoder."""
        with loaded_encoders(self.source, "pixels", self.device) as model:
            yield self._asked(model)

    def fingerprint(self, name: str) -> str | None:
        """Hash a component's files."""
        folder = resolve(self.source) / name
        return fingerprints.of_model_folder(folder) if folder.is_dir() else None

    def made(self, folder_hashes: dict[str, str]) -> dict[str, str]:
        """Hash the modules, one loaded after the other, unless their files are those of the data."""
        kinds = ("vae", "text_encoder", "connectors", *(("image_encoder",) if self.image_facts else ()))
        if folder_hashes and all(
            self.fingerprint(name) == known for name, known in folder_hashes.items() if name.startswith(kinds)
        ):
            return {}
        with self.text() as model:
            hashed = text_fingerprint(model.pipeline)
        with self.pixels() as model:
            return pixel_hashes(model.pipeline) | {"text_encoder": hashed}

    def _asked(self, model: LoadedModel) -> LoadedModel:
        return with_image(model) if self.image_to_video else model


def pixel_hashes(pipe: Pipeline) -> dict[str, str]:
    """Return the hashes of the modules that encode pixels: autoencoder, and image encoder if there is one."""
    parts = {"autoencoder": pipe.vae, "image_encoder": getattr(pipe, "image_encoder", None)}
    return {name: fingerprints.of_module(module) for name, module in parts.items() if module is not None}


def text_fingerprint(pipe: Pipeline) -> str:
    """Hash the modules that turn a caption into what the transformer reads: text encoder, and connectors if any."""
    modules = (getattr(pipe, name, None) for name in ("text_encoder", "connectors"))
    return "+".join(fingerprints.of_module(module) for module in modules if module is not None)


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
        _free(pipe)


def _move(pipe: Pipeline, device: str | torch.device) -> None:
    """Put what has weights on a device."""
    for module in pipe.components.values():
        if isinstance(module, torch.nn.Module) and not _is_empty(module):
            module.to(device)


def _free(pipe: Pipeline) -> None:
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
        given["vae"] = _empty(folder / "vae")
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


def _empty(path: Path) -> Any:
    """Return an autoencoder without weights."""
    import diffusers

    config = read_json(path / "config.json")
    with init_empty_weights():
        return getattr(diffusers, config["_class_name"]).from_config(config).eval()


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
