"""Writing checkpoints while steps go on, and reading them by any number of processes."""

from __future__ import annotations

import logging
import shutil
import time
import warnings
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch.distributed.checkpoint import HuggingFaceStorageReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from videojam.errors import VideoJamError
from videojam.files import remove_empty
from videojam.training.checkpoint import (
    PREFIX,
    CheckpointWriter,
    check_file,
    checkpoints,
    damaged,
    failed,
    read_state,
)
from videojam.training.facts import versions
from videojam.training.state import TrainState
from videojam.training.votes import Votes
from videojam.training.window import Window

logging.getLogger("c10d-NullHandler-dcp_logger").setLevel(logging.WARNING)  # else two records for each tensor
ALONE = "torch.distributed is disabled"
"""torch warns of it; one process is meant."""


class Saver:
    """Writes checkpoints in the background, one at a time; leaving the block waits for the last one.

    Args:
        out: Folder of the run.
        votes: Of the run's processes, which all save together.
        keep: Newest checkpoints that stay.
        config: The recipe, for `state.json`.
    """

    def __init__(self, out: Path, votes: Votes, keep: int, config: dict[str, Any]) -> None:
        self.out, self.votes, self.keep, self.config = out, votes, keep, config
        self.writing: tuple[Path, Future[Any]] | None = None
        self.longest_s = 0.0
        self.last_step: int | None = None
        self.began = 0.0

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except VideoJamError:
            if kind is None:
                raise

    def save(self, state: TrainState) -> None:
        """Copy the state to the host's memory and begin to write it; what was being written is finished first.

        Raises:
            VideoJamError: the checkpoint before couldn't be written.
        """
        self.wait()
        folder = self.out / "checkpoints" / f"{PREFIX}{state.step:08d}"
        content = {
            "step": state.step,
            "counts": dict(state.counts),  # copies, as steps go on while this is written
            "window": list(state.window.read),
            "heldout": state.heldout,
            "num_processes": self.votes.num,
            "versions": versions(),
            "config": self.config,
        }
        self.began, self.last_step = time.perf_counter(), state.step
        warnings.filterwarnings("ignore", ALONE)
        try:
            future = dcp.async_save(
                state.tensors(),
                storage_writer=CheckpointWriter(folder, content, self.keep),
                process_group=self.votes.saving,
            )
        except OSError as error:
            raise self._failed(folder, error) from error
        self.writing = (folder, future)  # type: ignore[assignment]

    @property
    def has_failed(self) -> bool:
        """Whether what was written in the background came to a bad end."""
        return self.writing is not None and self.writing[1].done() and self.writing[1].exception() is not None

    def wait(self) -> None:
        """Wait for the checkpoint that is being written.

        Raises:
            VideoJamError: no room or permission, or another process ended; the checkpoints before are whole.
        """
        if self.writing is None:
            return
        (folder, future), self.writing = self.writing, None
        error = future.exception()
        self.longest_s = max(self.longest_s, time.perf_counter() - self.began)
        if error is not None:
            raise self._failed(folder, error) from error

    def _failed(self, folder: Path, error: BaseException) -> VideoJamError:
        """Remove what was begun, and return the error."""
        if self.votes.rank == 0:
            shutil.rmtree(folder.with_name(f".{folder.name}.tmp-save"), ignore_errors=True)
            remove_empty([folder.parent])
        return failed(folder, error, next(iter(checkpoints(self.out)), None))


def load_checkpoint(state: TrainState, folder: Path, votes: Votes) -> None:
    """Put a checkpoint's contents into a run's state, in place; all processes succeed, or all refuse it.

    Args:
        state: Of this process.
        folder: The checkpoint, written by any number of processes.
        votes: Of the processes, each of which checks a part of the files.

    Raises:
        VideoJamError: the checkpoint is damaged or of another model.
    """
    problem: VideoJamError | None = None
    content: dict[str, Any] = {}
    targets: dict[str, torch.Tensor] = {}
    try:
        content = read_state(folder)
        names = sorted(content["files"])
        for name in names[votes.rank :: votes.num]:
            check_file(folder, name, content["files"][name])
        targets = _targets(state, folder, names)
    except VideoJamError as error:
        problem = error
    (any_problem,) = votes.any(problem is not None)
    if any_problem:
        raise problem or damaged(folder, "another process can't read it")
    warnings.filterwarnings("ignore", ALONE)
    try:
        dcp.load(targets, storage_reader=HuggingFaceStorageReader(str(folder)), process_group=votes.saving)
    except BaseException as error:  # torch's CheckpointException is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        raise damaged(folder, f"{type(error).__name__}: {error}") from error
    _put_moments(state, targets)
    state.step, state.counts = content["step"], content["counts"]
    state.window = Window(list(content.get("window", [])))
    state.heldout = content.get("heldout")


def _targets(state: TrainState, folder: Path, names: list[str]) -> dict[str, torch.Tensor]:
    """Return the tensors that a checkpoint is read into: the state's own, and fresh ones for the moments.

    Raises:
        VideoJamError: the checkpoint's tensors are not the state's.
    """
    try:
        metadata = HuggingFaceStorageReader(str(folder)).read_metadata()
        stored = cast("dict[str, TensorStorageMetadata]", metadata.state_dict_metadata)  # it reads no others
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise damaged(folder, f"{type(error).__name__}: {error}") from error
    own = {name: tensor for name, tensor in state.tensors().items() if not name.startswith("optimizer/")}
    moments = {name for name in stored if name.startswith("optimizer/")}
    different = sorted(own.keys() ^ (stored.keys() - moments))
    different += [
        name for name, tensor in own.items() if name in stored and stored[name].size != tensor.shape
    ]
    different += [name for name in moments if _parameter_of(name) not in state.parameters]
    if different or not names:
        raise damaged(
            folder, f"{len(different)} tensors of another model, such as {(different or ['none'])[0]}"
        )
    for name in sorted(moments):
        parameter, meta = state.parameters[_parameter_of(name)], stored[name]
        dtype = meta.properties.dtype
        if meta.size == parameter.shape:
            own[name] = torch.zeros_like(parameter.detach(), dtype=dtype)
        else:
            own[name] = torch.zeros(meta.size, dtype=dtype)
    return own


def _parameter_of(name: str) -> str:
    """Return the parameter's name in `optimizer/NAME/MOMENT`."""
    return name.removeprefix("optimizer/").rpartition("/")[0]


def _put_moments(state: TrainState, tensors: dict[str, torch.Tensor]) -> None:
    """Give the optimizers the moments that were read; torch moves each to its parameter's device."""
    moments: dict[str, dict[str, torch.Tensor]] = {name: {} for name in state.parameters}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            moments[_parameter_of(key)][key.rpartition("/")[2]] = value
    names = {parameter: name for name, parameter in state.parameters.items()}
    for optimizer in state.optimizers:
        saved = optimizer.state_dict()
        numbers = [number for group in saved["param_groups"] for number in group["params"]]
        own = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
        saved["state"] = {number: moments[name] for number, name in zip(numbers, own, strict=True)}
        optimizer.load_state_dict(saved)
