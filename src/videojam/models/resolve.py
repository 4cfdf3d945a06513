"""From the name of a model to a folder on this machine: a path, a hub id, or a shipped model."""

from __future__ import annotations

import os
from pathlib import Path

from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.tiny import PREFIX, tiny_folder


def is_hub_id(base: str | Path) -> bool:
    """Whether a model's name is neither a shipped model nor a folder, and looks like `owner/name`."""
    name = str(base)
    is_path = os.path.exists(os.path.expanduser(name)) or name.startswith((".", "/", "~"))
    return not is_path and not name.startswith(PREFIX) and name.count("/") == 1


def resolve(base: str | Path, revision: str | None = None, *, configs_only: bool = False) -> Path:
    """Return the local folder of a path, hub id or shipped model (`tiny:base`); hub files go to its cache.

    Args:
        base: Path, hub id or shipped model.
        revision: Revision of a hub id.
        configs_only: Fetch JSON files and no weights.

    Raises:
        VideoJamError: no such folder, and not a hub id that can be fetched; an empty name; or a revision of neither.
    """
    if not str(base).strip():
        raise VideoJamError(
            expected="a pipeline folder, a hub id, or a shipped model such as tiny:videojam",
            found="an empty name",
            where="the name of the model",
            fix="Name a model; a dot is the current folder.",
        )
    if revision is not None and not is_hub_id(base):
        raise VideoJamError(
            expected="a hub id (owner/name), of which a revision can be fetched",
            found=f"revision {revision!r} of a {'shipped model' if str(base).startswith(PREFIX) else 'folder'}",
            where=str(base),
            fix="Leave the revision out.",
        )
    if str(base).startswith(PREFIX):
        return tiny_folder(str(base))
    if not is_hub_id(base):
        return Path(os.path.expanduser(base))
    from huggingface_hub import snapshot_download

    try:
        unwanted = ["*.bin", "*.pth", "*.ckpt", "*.msgpack"]
        wanted = ["*.json"] if configs_only else None
        return Path(
            snapshot_download(str(base), revision=revision, allow_patterns=wanted, ignore_patterns=unwanted)
        )
    except Exception as error:  # the hub client raises many kinds: offline, not found, gated, bad name
        raise VideoJamError(
            expected="an existing folder, or a hub id that can be downloaded",
            found=f"no such folder, and the hub says: {reason(error)}",
            where=str(base),
            fix="Check the spelling and the network, or give a folder that is on this machine.",
        ) from None
