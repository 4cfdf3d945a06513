"""Going on with a run: which checkpoint is whole, and whether recipe and clips are those that the run began with."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from videojam.data.encoded import EncodedClip
from videojam.errors import VideoJamError
from videojam.files import write_text
from videojam.misfits import reason
from videojam.training.checkpoint import STATE_NAME, checkpoints, read_state
from videojam.training.config import TrainConfig
from videojam.training.facts import versions
from videojam.training.saving import load_checkpoint
from videojam.training.state import TrainState
from videojam.training.votes import Votes

MAY_CHANGE = (
    "num_steps", "log_every", "checkpoint_every", "keep_checkpoints", "validate_every", "save_dtype", "compile",
    "bad_steps", "resume", "max_minutes", "parallel", "validate_guidance", "trackers", "samples",
    "out", "data.cache", "data.source.path", "data.workers",  # renamed folders; the clips themselves are compared
)  # fmt: skip
CLIPS_NAME = "clips.json"


def check_resume(config: TrainConfig) -> list[str]:
    """Refuse to go on with a run by another recipe, or with fewer steps than it has done.

    Returns:
        Lines about packages whose version is not that of the checkpoint.

    Raises:
        VideoJamError: names the fields that differ; no checkpoint can be read; or `resume` says never and there is one.
    """
    problem = None
    for folder in candidates(config):
        try:
            saved = read_state(folder)
        except VideoJamError as error:
            problem = problem or error
            continue
        _check_same_config(saved["config"], config, str(folder))
        if config.num_steps < saved["step"]:
            raise VideoJamError(
                expected=f"num_steps of at least {saved['step']}, the steps that this run has done",
                found=f"num_steps = {config.num_steps}",
                where=str(folder),
                fix="Raise num_steps to go on, or choose another out folder for a shorter run.",
            )
        return _changed_versions(saved.get("versions", {}), folder)
    if problem is not None:
        raise problem
    return []


def candidates(config: TrainConfig) -> list[Path]:
    """Return the checkpoints that a run may go on from, in the order in which they are tried.

    `resume: PATH` of the run's own folder takes the run back to that step; of another folder, it is where a run begins
    that has no checkpoint of its own yet, so that the same command goes on with what it began.

    Raises:
        VideoJamError: `resume` says never and there is a checkpoint, or names none.
    """
    own = checkpoints(config.out)
    if config.resume == "auto":
        return own
    if config.resume == "never":
        if own:
            raise VideoJamError(
                expected="an out folder without checkpoints, as resume: never says",
                found=f"{len(own)}, the newest one {own[0].name}",
                where=str(config.out),
                fix="Choose another out folder, remove the checkpoints, or set resume: auto to go on from them.",
            )
        return []
    named = Path(config.resume)
    if not (named / STATE_NAME).is_file():
        raise VideoJamError(
            expected=f"the folder of a checkpoint, with {STATE_NAME} in it",
            found="no such file" if named.is_dir() else "no such folder",
            where=f"resume: {named}",
            fix="Name a folder checkpoints/step_N of a run, or write auto or never.",
        )
    mine = [folder for folder in own if folder.resolve() == named.resolve()]
    return mine or own or [named]


def resume(state: TrainState, config: TrainConfig, votes: Votes) -> tuple[Path | None, list[Path]]:
    """Put the newest whole checkpoint into a run's state, in place; all processes take the same one.

    Returns:
        The checkpoint, None where the run has none, and those before it that are damaged.

    Raises:
        VideoJamError: there are checkpoints, and none of them is whole.
    """
    problem = None
    passed_over: list[Path] = []
    for folder in candidates(config):
        try:
            load_checkpoint(state, folder, votes)
        except VideoJamError as error:
            problem = problem or error
            passed_over.append(folder)
        else:
            return folder, passed_over
    if problem is not None:
        raise problem
    return None, []


def set_aside_later(out: Path, chosen: Path) -> list[Path]:
    """Rename the checkpoints after the one that `resume` takes a run back to, and return their new names.

    Args:
        out: Folder of the run.
        chosen: One of its checkpoints, or another run's.
    """
    later = [folder for folder in checkpoints(out) if folder.name > chosen.name]
    return [set_aside(folder, "later") for folder in later] if chosen.parent == out / "checkpoints" else []


def set_aside(folder: Path, why: str = "damaged") -> Path:
    """Rename a checkpoint, so that it isn't counted among those that are kept.

    Args:
        folder: The checkpoint.
        why: First word of its new name.
    """
    aside = folder.with_name(f"{why}_{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    os.replace(folder, aside)
    return aside


def record_clips(out: Path, clips: list[EncodedClip], heldout: list[EncodedClip], *, resumed: bool) -> None:
    """Write which clips a run trains on and which are held out; of a resumed run, compare them with its own.

    Another clip would change the order of all and could bring a clip that was trained on among those held out.

    Args:
        out: Folder of the run.
        clips: Training clips.
        heldout: Held-out clips.
        resumed: Whether the run goes on from a checkpoint.

    Raises:
        VideoJamError: clips were added, removed or changed since the run began; names the first.
    """
    now = {"training": _names(clips), "heldout": _names(heldout)}
    path = out / CLIPS_NAME
    if resumed and path.is_file():
        _check_same_clips(_read_clips(path), now, path)
    write_text(path, json.dumps(now, indent=1) + "\n")


def _names(clips: list[EncodedClip]) -> dict[str, str]:
    """Return the names of clips by the hash of content and caption."""
    return {clip.key: clip.name for clip in clips}


def _read_clips(path: Path) -> dict[str, dict[str, str]]:
    try:
        content = json.loads(path.read_text())
        return {part: dict(content[part]) for part in ("training", "heldout")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VideoJamError(
            expected="the list of this run's clips",
            found=reason(error),
            where=str(path),
            fix="Remove the file if the clips are those that the run began with.",
        ) from None


def _check_same_clips(before: dict[str, dict[str, str]], now: dict[str, dict[str, str]], path: Path) -> None:
    old, new = ({**part["training"], **part["heldout"]} for part in (before, now))
    gone = [f"without {name}" for key, name in old.items() if key not in new]
    added = [f"with {name}" for key, name in new.items() if key not in old]
    same_split = all(before[part].keys() == now[part].keys() for part in now)
    if gone or added or not same_split:
        changes = [*gone, *added]
        found = f"{len(new)} clips, {'; '.join(changes[:3])}" if changes else "another held-out part of them"
        raise VideoJamError(
            expected=f"the {len(old)} clips that this run began with",
            found=found + (f" and {len(changes) - 3} more changes" if len(changes) > 3 else ""),
            where=str(path),
            fix="Put the clips and captions back to go on with this run. To train on the new ones, start a run with "
            "another out folder, with this run's model as its base if you like.",
        )


def _check_same_config(saved: dict[str, Any], config: TrainConfig, where: str) -> None:
    with suppress(ValidationError):  # fills in keys that a newer version has
        saved = TrainConfig.model_validate(saved).model_dump(mode="json")
    changed = {
        key: values
        for key, values in _differences(saved, config.model_dump(mode="json")).items()
        if not any(key == name or key.startswith(f"{name}.") for name in MAY_CHANGE)
    }
    if changed:
        raise VideoJamError(
            expected="; ".join(f"{key} = {before!r}" for key, (before, _) in changed.items())
            + ", with which this run began",
            found="; ".join(f"{key} = {now!r}" for key, (_, now) in changed.items()),
            where=where,
            fix="Give the first values back to resume, or choose another out folder for a new run.",
        )


def _changed_versions(saved: dict[str, str], folder: Path) -> list[str]:
    """Say which packages are of another version than when a checkpoint was written."""
    now = versions()
    changed = [
        f"{name} {saved[name]} → {now[name]}" for name in now if saved.get(name, now[name]) != now[name]
    ]
    if not changed:
        return []
    return [
        f"{folder.name} was written with other versions: {', '.join(changed)}; numbers may differ a little"
    ]


def _differences(before: Any, now: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in [*before, *(k for k in now if k not in before)]:
            found |= _differences(before.get(key), now.get(key), f"{prefix}{key}.")
        return found
    return {} if before == now else {prefix.removesuffix("."): (before, now)}
