"""Checking a pipeline folder and its components: are they stock classes, and are their files whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.models.header import Header, read_header, require_ordinary

COPY_AGAIN = "A part of the model is missing or damaged: copy or download it again."
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a model folder.

    Raises:
        VideoJamError: missing, not JSON, or not an object of keys and values.
    """
    fix = COPY_AGAIN
    try:
        require_ordinary(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
        found = f"a {type(content).__name__}"
    except (OSError, ValueError, RecursionError) as error:
        found = reason(error)
        fix = "Change its permissions." if isinstance(error, PermissionError) else fix
    raise VideoJamError(expected=f"{path.name} as a JSON object", found=found, where=str(path), fix=fix)


def require_folder(folder: Path, expected: str) -> None:
    """Refuse what is not a folder, and say whether it is a file or nothing.

    Args:
        folder: Where the folder should be.
        expected: What it should be, in words.
    """
    if not os.path.isdir(folder):  # which takes any name, where pathlib raises for one too long
        is_file = os.path.isfile(folder)
        raise VideoJamError(
            expected=expected,
            found="a file" if is_file else "no such folder",
            where=str(folder),
            fix="Give the folder that holds model_index.json, not a file in it."
            if is_file
            else "Check the path, or give a hub id (owner/name).",
        )


def require_pipeline(folder: Path) -> None:
    """Refuse what is not a pipeline folder.

    Raises:
        VideoJamError: no such folder, a file, or a folder without model_index.json.
    """
    require_folder(folder, "a diffusers pipeline folder or a hub id")
    if not (folder / "model_index.json").is_file():
        raise VideoJamError(
            expected="a diffusers pipeline folder with model_index.json",
            found="a folder without it",
            where=str(folder),
            fix=model_of_run(folder)
            or "Give the pipeline's own folder, of which the transformer's is a part; if it is that, copy it again.",
        )


def model_of_run(folder: Path) -> str | None:
    """Return what to do where a run's folder was given in place of its model; None if it is no such folder."""
    model = folder / "model"
    return (
        f"It is a training run: give its model, {model}." if (model / "model_index.json").is_file() else None
    )


def not_loadable(folder: Path, error: Exception) -> VideoJamError:
    """Return the error of a folder that diffusers can't load, with the first line of what it said."""
    return VideoJamError(
        expected="a pipeline folder that diffusers loads",
        found=reason(error),
        where=str(folder),
        fix="Copy or download the folder again; if its class is new, update diffusers and transformers.",
    )


def pipeline_components(folder: Path) -> dict[str, str]:
    """Return the components of a pipeline folder with their class names.

    Raises:
        VideoJamError: no such folder, no model_index.json, or a component that is code of the folder's own.
    """
    require_pipeline(folder)
    path = folder / "model_index.json"
    index = read_json(path)
    components = {}
    for name, entry in index.items():
        if name.startswith("_") or not isinstance(entry, list) or len(entry) != 2 or entry[1] is None:
            continue
        library, class_name = entry
        is_code = (folder / name / f"{library}.py").is_file()
        if is_code or not isinstance(library, str) or not isinstance(class_name, str):
            raise _unknown_part(
                path, name, f"code of its own, {name}/{library}.py" if is_code else repr(entry)
            )
        if Path(name).name != name:
            raise _unknown_part(path, name, "a component outside of the folder")
        components[name] = class_name
    if not isinstance(index.get("_class_name"), str):
        raise _unknown_part(path, "_class_name", repr(index.get("_class_name")))
    return components


def _unknown_part(path: Path, name: str, found: str) -> VideoJamError:
    return VideoJamError(
        expected=f"{name} as a class of diffusers or transformers",
        found=found,
        where=str(path),
        fix="Code that comes with a model is not run: take a copy of the model in stock classes.",
    )


def check_pipeline(folder: Path) -> dict[str, str]:
    """Return the components of a pipeline folder with their class names, if each is whole.

    Raises:
        VideoJamError: a component, a shard or weights are missing, or a file is truncated.
    """
    components = pipeline_components(folder)
    for name in components:
        read_headers(folder / name)
    return components


def read_headers(path: Path) -> tuple[Header, ...]:
    """Return the headers of a component's safetensors files.

    Raises:
        VideoJamError: the component has no files, no weights beside its config, pickled ones, shards missing,
            or a broken file.
    """
    if not path.is_dir() or not any(path.iterdir()):
        raise VideoJamError(
            expected=f"the component {path.name!r} that model_index.json lists",
            found="no such folder" if not path.is_dir() else "an empty folder",
            where=str(path),
            fix=COPY_AGAIN,
        )
    for config in path.glob("*config.json"):  # of a scheduler or tokenizer, too
        read_json(config)
    for index in path.glob("*.safetensors.index*.json"):
        _check_shards(index)
    files = sorted(path.glob("*.safetensors"))
    if (path / "config.json").is_file() and not files:
        pickled = sorted(file.name for pattern in PICKLED for file in path.glob(pattern))
        raise VideoJamError(
            expected="safetensors weights" if pickled else "weights beside config.json",
            found=f"pickled ones, {', '.join(pickled)}, which can hold code" if pickled else "none",
            where=str(path),
            fix="Load the model with its library where you trust it, and save it again as safetensors."
            if pickled
            else COPY_AGAIN,
        )
    return tuple(read_header(file) for file in files)


def _check_shards(index: Path) -> None:
    weight_map = read_json(index).get("weight_map", {})
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise VideoJamError(
            expected="weight_map, from names of tensors to names of files",
            found=repr(weight_map)[:100],
            where=str(index),
            fix=COPY_AGAIN,
        )
    for shard in sorted(set(weight_map.values())):
        if Path(shard).name != shard or shard in ("", ".."):
            raise VideoJamError(
                expected="shards in the folder of their index",
                found=f"{shard!r}",
                where=str(index),
                fix="An index that names files elsewhere is not followed: take another copy of the model.",
            )
        if not (index.parent / shard).is_file():
            raise VideoJamError(
                expected=f"the shard {shard} that {index.name} lists",
                found="no such file",
                where=str(index.parent),
                fix=COPY_AGAIN,
            )
