"""Checkpoints: safetensors and JSON, written under a temporary name and renamed, oldest ones removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.files import write_tensors, written_whole
from videojam.training.state import TrainState

PREFIX = "step_"
STATE_NAME = "state.json"


def save_checkpoint(state: TrainState, out: Path, keep: int, config: dict[str, Any]) -> Path:
    """Write `out/checkpoints/step_N`; a failure leaves the previous checkpoints as they are.

    Raises:
        VideoJamError: no room or permission.
    """
    folder = out / "checkpoints" / f"{PREFIX}{state.step:08d}"
    previous = next(iter(checkpoints(out)), None)
    fix = f"Free space and start again; the run goes on from {previous.name if previous else 'its start'}."
    with written_whole(folder, fix, replaces=STATE_NAME) as temporary:
        temporary.mkdir()
        for name, tensors in (
            ("parameters", state.parameters),
            ("ema", state.ema),
            ("optimizer", _moments(state)),
        ):
            write_tensors(temporary / f"{name}.safetensors", _cpu(tensors), fix=fix)
        content = {"step": state.step, "counts": state.counts, "config": config}
        (temporary / STATE_NAME).write_text(json.dumps(content, indent=2) + "\n")
    for old in checkpoints(out)[keep:]:
        shutil.rmtree(old)
    return folder


def checkpoints(out: Path) -> list[Path]:
    """Return the checkpoints of a run, the newest one first."""
    return sorted((out / "checkpoints").glob(f"{PREFIX}*"), reverse=True)


def read_state(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's step, counts and config.

    Raises:
        VideoJamError: the file is missing or damaged.
    """
    try:
        content = json.loads((folder / STATE_NAME).read_text())
        kinds = (("step", int), ("counts", dict), ("config", dict))
        if isinstance(content, dict) and all(isinstance(content.get(key), kind) for key, kind in kinds):
            return content
        found = "something else"
    except (OSError, ValueError) as error:
        found = f"{type(error).__name__}: {error}"
    raise damaged(folder, f"{STATE_NAME}: {found}")


def damaged(folder: Path, found: str) -> VideoJamError:
    """Return the error of a checkpoint that can't be used."""
    return VideoJamError(
        expected="a whole checkpoint of this run",
        found=found,
        where=str(folder),
        fix=f"Remove {folder.parent} to start from the first step, or choose another out folder.",
    )


def load_checkpoint(state: TrainState, folder: Path) -> None:
    """Put a checkpoint's contents into a run's state, in place.

    Raises:
        VideoJamError: the checkpoint is damaged or of another model.
    """
    content = read_state(folder)
    try:
        for name, target in (("parameters", state.parameters), ("ema", state.ema)):
            loaded = load_file(folder / f"{name}.safetensors")
            if loaded.keys() != target.keys():
                raise KeyError(f"{name} are of another model")
            with torch.no_grad():
                for key, tensor in target.items():
                    tensor.copy_(loaded[key])
        _load_moments(state, load_file(folder / "optimizer.safetensors"))
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise damaged(folder, f"{type(error).__name__}: {error}") from error
    state.step, state.counts = content["step"], content["counts"]


def _moments(state: TrainState) -> dict[str, Tensor]:
    """Flatten the optimizers' states: `name/moment`."""
    return {
        f"{name}/{key}": value
        for name, parameter in state.parameters.items()
        for optimizer in state.optimizers
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _load_moments(state: TrainState, tensors: dict[str, Tensor]) -> None:
    moments: dict[str, dict[str, Tensor]] = {name: {} for name in state.parameters}
    for key, value in tensors.items():
        name, _, moment = key.rpartition("/")
        moments[name][moment] = value
    names = {parameter: name for name, parameter in state.parameters.items()}
    for optimizer in state.optimizers:
        saved = optimizer.state_dict()
        numbers = [number for group in saved["param_groups"] for number in group["params"]]
        own = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
        saved["state"] = {number: moments[name] for number, name in zip(numbers, own, strict=True)}
        optimizer.load_state_dict(saved)


def _cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
