"""Converting a base model's folder to a joint model's folder of the same kind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from videojam.errors import VideoJamError
from videojam.files import require_new, written_whole
from videojam.joint.widen import OutputInit, widened_tensor
from videojam.models.check import read_json
from videojam.models.folder import TransformerFolder, open_folder
from videojam.models.record import FINGERPRINT_NAME, MotionRecord, save_record
from videojam.models.resolve import resolve
from videojam.models.stream import rewrite
from videojam.models.tensors import check_every_tensor
from videojam.motion.code import MotionCode

NOT_COPIED = (".git", ".cache", FINGERPRINT_NAME)
"""The base's fingerprint is of the base."""


def convert(
    base: str | Path,
    out: str | Path,
    *,
    motion: MotionCode | None = None,
    output_init: OutputInit = "zero",
    revision: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Write the joint folder of a base: projections widened, the rest copied, the motion record added.

    Weights stream file by file, so that peak memory is about one tensor. The result appears under its name
    only when it is whole.

    Args:
        base: Pipeline folder, bare transformer folder, or hub id.
        out: Folder to write; must not exist.
        motion: How flow will be drawn as RGB; the default code if not given.
        output_init: How the new output rows start: zero, or a copy of the appearance rows.
        revision: Revision of a hub id.
        progress: Called with a line for each file.

    Raises:
        VideoJamError: base missing, broken, unknown or already joint; a class that can't read d's own noise level;
            out exists; no room or permission.
    """
    out = Path(out)
    require_new(out)
    folder = resolve(base, revision)
    require_outside(out, folder)
    model = open_folder(folder)
    model.require_base()
    for transformer in model.transformers.values():
        check_every_tensor(transformer)
    record = MotionRecord(
        motion=motion or MotionCode(), base=str(base), revision=revision, output_init=output_init
    )
    with written_whole(out) as temporary:
        copy_rest(folder, temporary, skip=[transformer.path for transformer in model.transformers.values()])
        for name, transformer in model.transformers.items():
            wide = replace(transformer, family=transformer.family.at_noise(record.motion.noise))
            _widen_folder(wide, temporary / name, output_init, progress or (lambda line: None))
        save_record(record, temporary)
    return out


def require_outside(out: Path, folder: Path) -> None:
    """Refuse to write into the folder that is read, which would copy the copy.

    Args:
        out: Folder to write.
        folder: Folder that is read.

    Raises:
        VideoJamError: the one is in the other.
    """
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(folder)):  # resolve() raises on a loop
        raise VideoJamError(
            expected="an output folder outside of the one that is read",
            found=f"one in it: {out}",
            where=str(folder),
            fix="Choose a folder beside it.",
        )


def copy_rest(folder: Path, target: Path, skip: list[Path]) -> None:
    """Copy everything but the transformers; links of the hub's cache are followed.

    Raises:
        VideoJamError: a link to nothing, or what is neither a file nor a folder.
    """
    skipped = {os.path.realpath(path) for path in skip}

    def ignore(directory: str, names: list[str]) -> list[str]:
        paths = [Path(directory, name) for name in names]
        left_out = [path for path in paths if path.name in NOT_COPIED or os.path.realpath(path) in skipped]
        for path in paths:
            if path not in left_out and not (path.is_file() or path.is_dir()):
                raise VideoJamError(
                    expected="files and folders, which can be copied",
                    found="something else" if path.exists() else "a link to nothing",
                    where=str(path),
                    fix="Remove it, or copy the model again.",
                )
        return [path.name for path in left_out]

    if os.path.realpath(folder) in skipped:
        target.mkdir(parents=True)
    else:
        shutil.copytree(folder, target, ignore=ignore)


def _widen_folder(
    transformer: TransformerFolder, target: Path, output_init: OutputInit, progress: Callable[[str], None]
) -> None:
    """Write a transformer's folder with its projections widened, in the same files and shards."""
    family, config = transformer.family, transformer.config
    target.mkdir(parents=True, exist_ok=True)
    added: dict[str, dict[str, int]] = {}
    headers = {header.path.name: header for header in transformer.headers}
    for file in sorted(transformer.path.iterdir()):
        if file.name in headers:
            header = headers[file.name]
            added[file.name] = rewrite(
                header,
                target / file.name,
                family.projection_names(header.entries),
                lambda name, tensor: widened_tensor(name, tensor, family, config, output_init),
            )
            progress(f"{transformer.path.name}/{file.name}")
        elif file.name == "config.json":
            _write_json(target / file.name, family.joint_config(config))
        elif file.is_file() and ".index" in file.name:
            continue  # written last, with the new total size
        elif file.is_file():
            shutil.copy2(file, target / file.name)
    for index_file in transformer.path.glob("*.index*.json"):
        index = read_json(index_file)
        if "total_size" in index.get("metadata", {}):
            shards = set(index["weight_map"].values())
            index["metadata"]["total_size"] += sum(sum(added[shard].values()) for shard in shards)
        _write_json(target / index_file.name, index)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
