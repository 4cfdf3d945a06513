"""Checking a model folder before anything is written: is it whole, of a known class, and not yet joint."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videojam.errors import VideoJamError
from videojam.families import FAMILIES, Family, family_of
from videojam.models.record import RECORD_NAME
from videojam.models.stream import read_header

FULL_PRECISION = ("F64", "F32", "F16", "BF16", "I64", "I32", "BOOL")
"""Types of safetensors that aren't quantised; integers of 32 bits and more are tables."""

COPY_AGAIN = "The folder is half-copied: copy or download it again."


@dataclass(frozen=True)
class TransformerFolder:
    """One transformer on disk.

    Attributes:
        path: Its folder.
        config: Its config.
        family: Its family.
    """

    path: Path
    config: dict[str, Any]
    family: Family

    def weight_files(self) -> list[Path]:
        """Return its safetensors files, of all variants and shards."""
        return sorted(self.path.glob("*.safetensors"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a model folder.

    Raises:
        VideoJamError: missing or not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        found = "no such file"
    except (OSError, ValueError) as error:
        found = str(error)
    raise VideoJamError(expected=f"{path.name} as JSON", found=found, where=str(path), fix=COPY_AGAIN)


def find_transformers(
    folder: Path, *, allow_joint: bool = False, configs_only: bool = False
) -> dict[str, TransformerFolder]:
    """Return the transformers of a pipeline folder by component name, or of a bare folder under "".

    Args:
        folder: Pipeline or bare transformer folder.
        allow_joint: Take a joint model too.
        configs_only: The folder holds configs and no weights, so weights aren't looked at.

    Raises:
        VideoJamError: neither kind of folder, a missing or broken file, an unknown class, a joint model.
    """
    if not folder.is_dir():
        raise VideoJamError(
            expected="a diffusers pipeline folder, a transformer folder or a hub id",
            found="no such folder",
            where=str(folder),
            fix="Check the path.",
        )
    if (folder / RECORD_NAME).is_file() and not allow_joint:
        raise _already_joint(folder, f"it has a {RECORD_NAME}")
    if (folder / "model_index.json").is_file():
        found = _pipeline_transformers(folder, configs_only)
    elif (folder / "config.json").is_file():
        found = {"": _transformer(folder)}
    else:
        raise VideoJamError(
            expected="model_index.json (a pipeline) or config.json (a bare transformer)",
            found="neither",
            where=str(folder),
            fix="Give the folder in diffusers' layout that holds one of the two; " + COPY_AGAIN,
        )
    for name, transformer in found.items():
        if name and not allow_joint and has_joint_channels(folder, transformer):
            raise _already_joint(folder / name, "it predicts twice the autoencoder's channels")
        if not configs_only:
            _check_weights(transformer)
    return found


def check_pipeline(folder: Path, configs_only: bool = False) -> dict[str, str]:
    """Return the components of a pipeline folder with their class names, if each is whole.

    Args:
        folder: Pipeline folder.
        configs_only: The folder holds configs and no weights: whether components are whole isn't looked at.

    Raises:
        VideoJamError: a component, a shard or weights are missing, or a file is truncated.
    """
    if not folder.is_dir() or not (folder / "model_index.json").is_file():
        raise VideoJamError(
            expected="a diffusers pipeline folder with model_index.json",
            found="a folder without it" if folder.is_dir() else "no such folder",
            where=str(folder),
            fix=COPY_AGAIN if folder.is_dir() else "Check the path, or give a hub id (owner/name).",
        )
    components = {
        name: entry[1]
        for name, entry in read_json(folder / "model_index.json").items()
        if not name.startswith("_") and isinstance(entry, list) and len(entry) == 2 and entry[1] is not None
    }
    for name in components:
        if not configs_only:
            _check_component(folder / name)
    return components


def _pipeline_transformers(folder: Path, configs_only: bool) -> dict[str, TransformerFolder]:
    components = check_pipeline(folder, configs_only)
    names = [name for name, class_name in components.items() if class_name in FAMILIES]
    if not names:
        denoisers = [name for name in components if name.startswith(("transformer", "unet"))]
        family_of(
            components[denoisers[0]] if denoisers else "no transformer"
        )  # raises, listing known classes
    return {name: _transformer(folder / name) for name in names}


def has_joint_channels(folder: Path, transformer: TransformerFolder) -> bool:
    """Whether a pipeline folder's transformer predicts twice the channels of its autoencoder."""
    vae = folder / "vae" / "config.json"
    num_channels = transformer.family.vae_channels(read_json(vae)) if vae.is_file() else None
    return num_channels is not None and transformer.config.get(transformer.family.out_key) == 2 * num_channels


def _check_component(path: Path) -> None:
    """Refuse a component without files, without weights, or with shards missing."""
    if not path.is_dir() or not any(path.iterdir()):
        raise VideoJamError(
            expected=f"the component {path.name!r} that model_index.json lists",
            found="no such folder" if not path.is_dir() else "an empty folder",
            where=str(path),
            fix=COPY_AGAIN,
        )
    for index in path.glob("*.index*.json"):
        for shard in sorted(set(read_json(index).get("weight_map", {}).values())):
            if not (path / shard).is_file():
                raise VideoJamError(
                    expected=f"the shard {shard} that {index.name} lists",
                    found="no such file",
                    where=str(path),
                    fix=COPY_AGAIN,
                )
    weights = [*path.glob("*.safetensors"), *path.glob("*.bin")]
    if (path / "config.json").is_file() and not weights:
        raise VideoJamError(
            expected="weights beside config.json", found="none", where=str(path), fix=COPY_AGAIN
        )
    for file in path.glob("*.safetensors"):
        read_header(file)


def _transformer(path: Path) -> TransformerFolder:
    config = read_json(path / "config.json")
    family = family_of(str(config.get("_class_name", "no _class_name")))
    if "quantization_config" in config:
        raise _quantised(path, "a quantised checkpoint")
    return TransformerFolder(path, config, family)


def _check_weights(transformer: TransformerFolder) -> None:
    """Refuse weights that are missing, not safetensors, or of other channels than the config says."""
    path, config, family = transformer.path, transformer.config, transformer.family
    _check_component(path)
    files = transformer.weight_files()
    if not files:
        raise VideoJamError(
            expected="safetensors weights",
            found=", ".join(sorted(file.name for file in path.iterdir())),
            where=str(path),
            fix="Load the model with diffusers and save it again with safe_serialization=True.",
        )
    in_name, out_name = family.input_weight, family.output_parameters[0]
    seen = set()
    for file in files:
        header, _ = read_header(file)
        _check_precision(header, file)
        if in_name in header:
            _, *columns = header[in_name]["shape"]
            num_in = math.prod(columns) // family.num_positions(config)
            _check_channels(num_in, family.num_inputs(config), in_name, file)
        if out_name in header:
            num_rows = family.num_outputs(config) * family.num_positions(config)
            _check_channels(header[out_name]["shape"][0], num_rows, out_name, file)
        seen.update({in_name, out_name} & header.keys())
    for missing in sorted({in_name, out_name} - seen):
        raise VideoJamError(
            expected=f"the tensor {missing}", found="no file that holds it", where=str(path), fix=COPY_AGAIN
        )


def _check_precision(header: dict[str, Any], file: Path) -> None:
    """Refuse weights stored in 8 bits or fewer; they carry scales that widening doesn't know."""
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] not in FULL_PRECISION:
            raise _quantised(file, f"a quantised checkpoint: {name} is {entry['dtype']}")


def _quantised(where: Path, found: str) -> VideoJamError:
    return VideoJamError(
        expected="full-precision weights (float32, bfloat16 or float16)",
        found=found,
        where=str(where),
        fix="Convert the unquantised base, then quantise the joint model.",
    )


def _check_channels(found: int, expected: int, name: str, file: Path) -> None:
    if found != expected:
        raise VideoJamError(
            expected=f"{expected} channels in {name}, as the config says",
            found=f"{found}",
            where=str(file),
            fix="Config and weights are of different models: take both from one checkpoint.",
        )


def _already_joint(where: Path, why: str) -> VideoJamError:
    return VideoJamError(
        expected="a base model",
        found=f"a joint model ({why})",
        where=str(where),
        fix="It is converted already: train or sample it, or convert its base.",
    )
