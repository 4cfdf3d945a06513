"""What turns clips and captions into latents and embeddings: of a model in memory, or of a folder, loaded in turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from videojam import fingerprints
from videojam.families.stock import Pipeline
from videojam.models.load import TEXT_ENCODERS, LoadedModel, with_image
from videojam.models.outline import loaded_encoders, outline
from videojam.models.resolve import resolve


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
