"""The tiny pipelines that ship inside the package, so that every verb works without a download.

`base/` is a whole stock pipeline folder. `control/` and `videojam/` hold what differs from it, the
transformer and the motion record; the rest they share with the base, so it is stored once. `tiny_folder` puts
them together again as stock folders, and every place that takes a model folder also takes `tiny:base`,
`tiny:control` and `tiny:videojam`: the models of docs/study-premise.md, which the demo shows.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from videojam.errors import VideoJamError

PREFIX = "tiny:"
TINY_NAMES = ("base", "control", "videojam")
PACKAGE_FOLDER = Path(__file__).parent


def tiny_folder(name: str) -> Path:
    """Return the stock pipeline folder of a shipped model; it lives as long as the process.

    Args:
        name: One of `TINY_NAMES`, with or without `tiny:` in front.

    Raises:
        VideoJamError: no such model, or the installation lacks its files.
    """
    name = name.removeprefix(PREFIX)
    if name not in TINY_NAMES:
        raise VideoJamError(
            expected=f"one of {', '.join(PREFIX + known for known in TINY_NAMES)}",
            found=repr(PREFIX + name),
            where="the name of a shipped model",
            fix="Correct the name, or give a folder.",
        )
    return assemble(PACKAGE_FOLDER, name)


@cache
def assemble(root: Path, name: str) -> Path:
    """Return `root/name` if it is a whole pipeline folder, else a folder of links to it and to `root/base`.

    Args:
        root: Folder that holds `base/` and the others.
        name: Which of them.

    Raises:
        VideoJamError: the model or the base is missing.
    """
    own, base = root / name, root / "base"
    for folder, needed in ((base, "model_index.json"), (own, "transformer")):
        if not (folder / needed).exists():
            raise VideoJamError(
                expected=f"the model {folder.name!r} with its {needed}",
                found="no such file" if folder.is_dir() else "no such folder",
                where=str(folder),
                fix="Install videojam again, with its package data."
                if root == PACKAGE_FOLDER
                else f"Give a folder that holds {', '.join(f'{known}/' for known in TINY_NAMES)}.",
            )
    if (own / "model_index.json").is_file():
        return own
    whole = Path(tempfile.mkdtemp(prefix=f"videojam-tiny-{name}-"))
    atexit.register(shutil.rmtree, whole, ignore_errors=True)
    own_names = {part.name for part in own.iterdir()}
    # The base's defaults and fingerprint describe only the base.
    shared = [part for part in base.iterdir() if part.is_dir() or part.name == "model_index.json"]
    for part in (*own.iterdir(), *(part for part in shared if part.name not in own_names)):
        (whole / part.name).symlink_to(part.resolve())
    return whole
