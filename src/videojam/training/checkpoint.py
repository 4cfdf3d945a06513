"""Checkpoints: safetensors and JSON, written under a temporary name and renamed, oldest ones removed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from videojam.errors import VideoJamError

PREFIX = "step_"


@dataclass
class TrainState:
    """Everything that the next step depends on; randomness and data order are functions of the step.

    Attributes:
        step: Steps done.
        parameters: Trained parameters by name (fp32 master weights).
        ema: Their running average, by name; empty without averaging.
        optimizers: Optimizers, each over a part of `parameters`.
        counts: Running counts for the log (clipped steps).
    """

    step: int
    parameters: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizers: list[torch.optim.Optimizer]
    counts: dict[str, int]


def save_checkpoint(state: TrainState, out: Path, keep: int, config: dict[str, Any]) -> Path:
    """Write `out/checkpoints/step_N`; a failure leaves the previous checkpoints as they are.

    Raises:
        VideoJamError: no room or permission.
    """
    folder = out / "checkpoints" / f"{PREFIX}{state.step:08d}"
    temporary = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(_cpu(state.parameters), temporary / "parameters.safetensors")
        save_file(_cpu(state.ema), temporary / "ema.safetensors")
        save_file(_cpu(_moments(state)), temporary / "optimizer.safetensors")
        content = {"step": state.step, "counts": state.counts, "config": config}
        (temporary / "state.json").write_text(json.dumps(content, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        previous = latest_checkpoint(out)
        raise VideoJamError(
            expected="room and permission to write a checkpoint",
            found=getattr(error, "strerror", None) or str(error),
            where=str(folder),
            fix=f"Free space and start again; the run goes on from {previous.name if previous else 'its start'}.",
        ) from error
    for old in sorted((out / "checkpoints").glob(f"{PREFIX}*"))[:-keep]:
        shutil.rmtree(old)
    return folder


def latest_checkpoint(out: Path) -> Path | None:
    """Return the newest whole checkpoint of a run; none if there is none."""
    return max((out / "checkpoints").glob(f"{PREFIX}*"), default=None)


def read_state(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's step, counts and config."""
    return json.loads((folder / "state.json").read_text())


def load_checkpoint(state: TrainState, folder: Path) -> None:
    """Put a checkpoint's contents into a run's state, in place.

    Raises:
        VideoJamError: the checkpoint is damaged or of another model.
    """
    try:
        content = read_state(folder)
        for name, target in (("parameters", state.parameters), ("ema", state.ema)):
            loaded = load_file(folder / f"{name}.safetensors")
            if loaded.keys() != target.keys():
                raise KeyError(f"{name} are of another model")
            with torch.no_grad():
                for key, tensor in target.items():
                    tensor.copy_(loaded[key])
        _load_moments(state, load_file(folder / "optimizer.safetensors"))
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise VideoJamError(
            expected="a whole checkpoint of this run",
            found=f"{type(error).__name__}: {error}",
            where=str(folder),
            fix="Remove this checkpoint to go on from the one before it, or choose another out folder.",
        ) from error
    state.step, state.counts = content["step"], content["counts"]


def check_same_config(
    saved: dict[str, Any], asked: dict[str, Any], free: tuple[str, ...], where: str
) -> None:
    """Refuse to resume with another config; the fields in `free` may change (how long, how often to log).

    Raises:
        VideoJamError: names the first field that differs.
    """
    for key, (before, now) in _differences(saved, asked).items():
        if key.split(".")[0] not in free:
            raise VideoJamError(
                expected=f"{key} = {before!r}, with which this run began",
                found=f"{key} = {now!r}",
                where=where,
                fix="Give the first value back to resume, or choose another out folder for a new run.",
            )


def _differences(before: Any, now: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in [*before, *(k for k in now if k not in before)]:
            found |= _differences(before.get(key), now.get(key), f"{prefix}{key}.")
        return found
    return {} if before == now else {prefix.removesuffix("."): (before, now)}


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
