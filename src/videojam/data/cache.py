"""One file a clip: its latents and text, with a checksum of each tensor."""

from __future__ import annotations

import zlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.files import refused, write_tensors, write_text
from videojam.misfits import reason

CHECKSUM = "crc32."
"""Prefix of a tensor's checksum in the header of its file."""

ANEW = "the clip is encoded again, and a run goes on from its last checkpoint"

FIX = "Free space, change its permissions, or set data.cache to another folder; clips that were encoded are kept."


def make_cache(folder: Path, config: str) -> Path:
    """Make the folder of one configuration, with `config.json` in it; one that is whole already is left as it is.

    Args:
        folder: `data.cache`, and the key of the configuration below it.
        config: Content of `config.json`.

    Raises:
        VideoJamError: the cache is a file, or can't be written to.
    """
    path = folder / "config.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_same = path.is_file() and path.read_text(encoding="utf-8") == config
    except OSError as error:
        raise refused(Path(f"data.cache: {folder}"), error, FIX) from None
    if not is_same:
        write_text(path, config, FIX)
    return folder


def write_encoded(path: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
    """Write a clip's tensors whole or not at all.

    Args:
        path: Its file.
        tensors: `x`, `d`, and the keywords `text.*` and `image.*`.
        facts: Words for the header, such as name and caption.

    Raises:
        VideoJamError: no room or permission.
    """
    tensors = {key: tensor.contiguous() for key, tensor in tensors.items()}
    sums = {f"{CHECKSUM}{key}": _checksum(tensor) for key, tensor in tensors.items()}
    write_tensors(path, tensors, {**facts, **sums}, FIX)


def read_encoded(
    path: Path, keys: tuple[str, ...] | None = None, what: str = "the cached latents of a clip"
) -> dict[str, Tensor]:
    """Read a clip's tensors: `x`, `d`, and the keywords `text.*` and `image.*`.

    Args:
        path: Its file.
        keys: Which of them; all if None.
        what: What the file holds, with the clip's name, for the error.

    Raises:
        VideoJamError: the file is gone, or its bytes are not those that were written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            sums = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in (keys or file.keys())}
    except FileNotFoundError:
        raise gone(path, what) from None
    except (OSError, SafetensorError) as error:
        raise _damaged(path, what, reason(error)) from None
    for key, tensor in tensors.items():
        if sums.get(CHECKSUM + key) != _checksum(tensor):
            raise _damaged(path, what, f"other bytes in {key}")
    return tensors


def facts_of(path: Path) -> dict[str, str] | None:
    """Return the words of a cached file's header; None where there is no file, or one that has to be written again."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}) if "x" in file.keys() else None  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError):
        return None


def gone(path: Path, what: str) -> VideoJamError:
    """Return the error of a file that was there when the run began.

    Args:
        path: The file.
        what: What it held, with the clip's name.
    """
    return VideoJamError(
        expected=f"{what}, which were there when the run began",
        found="no such file",
        where=str(path),
        fix=f"Start again: {ANEW}.",
    )


def _checksum(tensor: Tensor) -> str:
    return f"{zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data):08x}"


def _damaged(path: Path, what: str, found: str) -> VideoJamError:
    return VideoJamError(
        expected=f"{what} as they were written",
        found=found,
        where=str(path),
        fix=f"Delete the file and start again: {ANEW}. If it happens again, check the disk.",
    )
