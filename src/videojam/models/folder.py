"""A model folder, opened once: its configs, the header of every weight file, and whether it is joint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from videojam.errors import VideoJamError
from videojam.families import FAMILIES, Projections, projections_of
from videojam.models.check import model_of_run, pipeline_components, read_headers, read_json, require_folder
from videojam.models.header import Header
from videojam.models.record import RECORD_NAME, MotionRecord, load_record
from videojam.models.tensors import check_weights, quantised

TEXT_PARTS: tuple[str, ...] = ("text_encoder", "tokenizer", "connectors")
"""Beginnings of the names of the components that encode text."""
PIXEL_PARTS: tuple[str, ...] = ("vae", "image_")
"""Beginnings of the names of those that encode frames; others (LTX-2's for sound) encode nothing of a clip."""
SMALL = {"BF16": torch.bfloat16, "F16": torch.float16}
"""Types of weights that take half of float32, by their names in files."""


@dataclass(frozen=True)
class TransformerFolder:
    """One transformer on disk.

    Attributes:
        path: Its folder.
        config: Its config.
        family: Its family.
        headers: Of its safetensors files, of all variants and shards; empty where only the config is known.
    """

    path: Path
    config: dict[str, Any]
    family: Projections
    headers: tuple[Header, ...] = ()

    @property
    def stored_dtype(self) -> torch.dtype:
        """The type of its weights; float32 where they are of several."""
        return stored_dtype(self.headers)


def stored_dtype(headers: Iterable[Header]) -> torch.dtype:
    """Return the type in which files hold their weights; float32 where they are of several."""
    kinds = {entry.dtype for header in headers for entry in header.entries.values()}
    return SMALL.get(kinds.pop(), torch.float32) if len(kinds) == 1 else torch.float32


@dataclass(frozen=True)
class ModelFolder:
    """A model on disk: its configs, and the header of every weight file, each read once.

    Attributes:
        path: Pipeline or bare transformer folder.
        pipeline_class: Class of the pipeline; None for a bare transformer.
        transformers: By component name; a bare one under "".
        others: Headers of the other components' weights, by component name.
        vae_config: The autoencoder's config, of a transformer in a pipeline that of the pipeline; None where there is
            none.
        record: Its motion record; None where there is none.
    """

    path: Path
    pipeline_class: str | None
    transformers: dict[str, TransformerFolder]
    others: dict[str, tuple[Header, ...]]
    vae_config: dict[str, Any] | None
    record: MotionRecord | None

    def is_joint(self) -> bool | None:
        """Whether all transformers are joint; None for a bare transformer without a record, which can't say.

        Raises:
            VideoJamError: some are joint, and some aren't.
        """
        if self.vae_config is None:
            return True if self.record is not None else None
        vae = self.vae_config
        return all_or_none(
            {name: part.family.is_joint(part.config, vae) for name, part in self.transformers.items()},
            self.path,
        )

    def require_base(self) -> None:
        """Refuse a joint model.

        Raises:
            VideoJamError: it has a motion record or predicts twice the autoencoder's channels.
        """
        if self.record is not None:
            raise _already_joint(self.path, f"it has a {RECORD_NAME}")
        if self.is_joint():
            raise _already_joint(self.path, "it predicts twice the autoencoder's channels")


def all_or_none(is_joint: Mapping[str, bool], where: Path) -> bool:
    """Return whether all transformers of a pipeline are joint; refuse a mixture.

    Args:
        is_joint: Whether each is, by component name.
        where: The model's folder.
    """
    if len(set(is_joint.values())) > 1:
        raise VideoJamError(
            expected="all transformers of the pipeline joint, or no transformer",
            found=", ".join(f"{name}: {'joint' if joint else 'base'}" for name, joint in is_joint.items()),
            where=str(where),
            fix="Convert the whole pipeline folder.",
        )
    return all(is_joint.values())


def open_folder(folder: Path, *, configs_only: bool = False) -> ModelFolder:
    """Read a pipeline's or bare transformer's configs and the headers of its weights, and check them.

    Args:
        folder: Pipeline or bare transformer folder.
        configs_only: The folder holds configs and no weights, so weights aren't looked at.

    Raises:
        VideoJamError: neither kind of folder, a missing or broken file, an unknown class, quantised weights.
    """
    require_folder(folder, "a diffusers pipeline folder, a transformer folder or a hub id")
    if (folder / "model_index.json").is_file():
        return _open_pipeline(folder, configs_only)
    if not (folder / "config.json").is_file():
        raise VideoJamError(
            expected="model_index.json (a pipeline) or config.json (a bare transformer)",
            found="neither",
            where=str(folder),
            fix=model_of_run(folder)
            or "Give the folder in diffusers' layout that holds one of the two, or copy it again.",
        )
    headers = () if configs_only else read_headers(folder)
    inside = (
        folder.parent / "model_index.json"
    ).is_file()  # the pipeline says whether its transformer is joint
    record = load_record(folder) or (load_record(folder.parent) if inside else None)
    vae = _vae_config(folder.parent / "vae" / "config.json") if inside else None
    transformer = _transformer(folder, headers, configs_only, record)
    return ModelFolder(folder, None, {"": transformer}, {}, vae, record)


def _open_pipeline(folder: Path, configs_only: bool) -> ModelFolder:
    components = pipeline_components(folder)
    headers = {name: () if configs_only else read_headers(folder / name) for name in components}
    names = [name for name, class_name in components.items() if class_name in FAMILIES]
    if not names:
        denoisers = [name for name in components if name.startswith(("transformer", "unet"))]
        # raises, listing the known classes
        projections_of(components[denoisers[0]] if denoisers else "no transformer")
    record = load_record(folder)
    return ModelFolder(
        path=folder,
        pipeline_class=read_json(folder / "model_index.json").get("_class_name"),
        transformers={
            name: _transformer(folder / name, headers[name], configs_only, record) for name in names
        },
        others={name: found for name, found in headers.items() if name not in names},
        vae_config=_vae_config(folder / "vae" / "config.json"),
        record=record,
    )


def _transformer(
    path: Path, headers: tuple[Header, ...], configs_only: bool, record: MotionRecord | None
) -> TransformerFolder:
    config = read_json(path / "config.json")
    family = projections_of(str(config.get("_class_name", "no _class_name")))
    family = family.at_noise("same" if record is None else record.motion.noise)
    _check_config(config, family, path / "config.json")
    if "quantization_config" in config:
        raise quantised(path, "a quantised checkpoint")
    transformer = TransformerFolder(path, config, family, headers)
    if not configs_only:
        check_weights(transformer)
    return transformer


def _check_config(config: dict[str, Any], family: Projections, path: Path) -> None:
    """Refuse channels, patch sizes and a number of layers that are not whole numbers."""
    patch = config.get("patch_size", 1)
    sizes = list(patch) if isinstance(patch, (list, tuple)) else [patch]
    keys: dict[str, list[Any]] = {
        family.in_key: [config.get(family.in_key)],
        family.out_key: [1 if config.get(family.out_key) is None else config[family.out_key]],
        "patch_size": sizes,
        "patch_size_t": [config.get("patch_size_t") or 1],
        "num_layers": [config.get("num_layers", 1)],
    }
    _require_numbers(config, keys, path)


def _vae_config(path: Path) -> dict[str, Any] | None:
    """Read the autoencoder's config; None where there is none; refuse latent channels that are not a whole number."""
    if not path.is_file():
        return None
    config = read_json(path)
    _require_numbers(config, {key: [config.get(key) or 1] for key in ("z_dim", "latent_channels")}, path)
    return config


def _require_numbers(config: dict[str, Any], keys: dict[str, list[Any]], path: Path) -> None:
    for key, values in keys.items():
        if not all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values):
            raise VideoJamError(
                expected=f"{key} as a whole number from 1 on",
                found=repr(config[key]) if key in config else "no such key",
                where=str(path),
                fix="Take config.json from an intact copy of the model.",
            )


def _already_joint(where: Path, why: str) -> VideoJamError:
    return VideoJamError(
        expected="a base model",
        found=f"a joint model ({why})",
        where=str(where),
        fix="It is converted already: train or sample it, or convert its base.",
    )
