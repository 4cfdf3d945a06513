"""The advice of a guidance probe in the model's folder, from where sampling takes its defaults."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from videojam.errors import VideoJamError
from videojam.evaluation.probes.direction import Advice, advised
from videojam.files import refused
from videojam.models.record import DEFAULTS_NAME, load_defaults, save_defaults
from videojam.models.resolve import is_hub_id, resolve
from videojam.tiny import PREFIX

PERMIT = "Change the folder's permissions."


def folder_to_keep(model: str) -> Path:
    """Return the folder of a model, of which the defaults can be changed.

    Args:
        model: As the user named it.

    Raises:
        VideoJamError: a hub id or a shipped model; no permission to write into the folder.
    """
    if is_hub_id(model) or model.startswith(PREFIX):
        raise VideoJamError(
            expected="a model in a folder of yours, whose defaults can be written",
            found="a shipped model" if model.startswith(PREFIX) else "a hub id",
            where=model,
            fix=f"Copy it first: videojam export {model} --out DIR",
        )
    folder = resolve(model)
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise refused(
            folder / DEFAULTS_NAME, PermissionError(errno.EACCES, os.strerror(errno.EACCES)), PERMIT
        )
    return folder


def keep_advice(folder: Path, summary: Sequence[dict[str, Any]], data: str) -> str:
    """Write w1, w2 and the window that a probe advises into a model's folder, and say what was written.

    What the advice leaves as it is stays; an older advice's window that no longer holds is removed.

    Args:
        folder: Of the model.
        summary: Of the guidance probe.
        data: Clips of the probe, for whom asks where the numbers come from.

    Raises:
        VideoJamError: no room or permission.
    """
    found = advised(summary)
    day = datetime.now(UTC).date().isoformat()
    changes = {name: value for name, value in found._asdict().items() if value is not None}
    defaults = load_defaults(folder).model_copy(
        update={
            "window": found.window,
            **changes,
            "guidance_from": f"videojam probe guidance on {_name(data)}, {day}",
        }
    )
    try:
        path = save_defaults(defaults, folder)
    except OSError as error:
        raise refused(folder / DEFAULTS_NAME, error, PERMIT) from error
    return f"wrote {path}: {_words(found)}; videojam generate takes them from there"


def _words(advice: Advice) -> str:
    words = [
        "w1 as it was" if advice.w_text is None else f"w1 {advice.w_text:g}",
        "no w2, as there is no motion half" if advice.w_motion is None else f"w2 {advice.w_motion:g}",
    ]
    return ", ".join([*words, f"window {advice.window}"] if advice.window else words)


def _name(data: str) -> str:
    """Name the clips without the folders of this machine."""
    return Path(data).name if Path(data).is_absolute() else data
