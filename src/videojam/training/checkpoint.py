"""Checkpoints by torch.distributed.checkpoint: each process writes its parts, and the folder appears when all have.

`checkpoints/step_N` holds safetensors, a file a process, by torch's `HuggingFaceStorageWriter`: of each tensor the file
says which part of the whole it is, so that any number of processes can read any other number's checkpoint. torch's own
default format has a pickle for its index, and a pickle runs what its author wrote; here, nothing is unpickled. Beside
them `state.json` says the step, the recipe, the versions, and a checksum of each file.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult

from videojam.errors import VideoJamError
from videojam.misfits import reason

FORMAT = 2
PREFIX = "step_"
STATE_NAME = "state.json"
CHECKSUM = ".crc32"
CHUNK = 1 << 24


class CheckpointWriter(HuggingFaceStorageWriter):
    """Writes this process's parts, each file with a checksum; the first process puts the folder in place.

    Args:
        folder: `checkpoints/step_N`.
        content: Of `state.json`, without the files.
        keep: Newest checkpoints that stay; the best one stays too.
    """

    def __init__(self, folder: Path, content: dict[str, Any], keep: int) -> None:
        self.folder, self.content, self.keep = folder, content, keep
        self.temporary = folder.with_name(f".{folder.name}.tmp-save")
        super().__init__(str(self.temporary), save_distributed=True)

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> torch.futures.Future[list[WriteResult]]:
        """Write, and note what was written: a disk that returns other bytes is found by it."""
        written = super().write_data(plan, planner)
        for name in {result.storage_data.relative_path for result in written.wait()}:
            path = self.temporary / name
            path.with_name(name + CHECKSUM).write_text(checksum(path))
        return written

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Write `state.json`, rename the folder, and remove checkpoints beyond those that stay."""
        super().finish(metadata, results)
        sums = sorted(self.temporary.glob(f"*{CHECKSUM}"))
        files = {path.name.removesuffix(CHECKSUM): path.read_text() for path in sums}
        with (self.temporary / STATE_NAME).open("w") as file:
            file.write(json.dumps({"format": FORMAT, **self.content, "files": files}, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        for path in sums:
            path.unlink()
        if self.folder.exists():  # of a run that was taken back to an earlier step
            shutil.rmtree(self.folder)
        os.replace(self.temporary, self.folder)
        for old in to_remove(checkpoints(self.folder.parent.parent), self.keep):
            shutil.rmtree(old)


def to_remove(newest_first: list[Path], keep: int) -> list[Path]:
    """Return the checkpoints that go: all but the newest ones and the best one.

    Args:
        newest_first: All of a run.
        keep: How many of the newest stay.
    """
    best = best_checkpoint(newest_first)
    return [folder for folder in newest_first[keep:] if folder != best]


def best_checkpoint(folders: list[Path]) -> Path | None:
    """Return the checkpoint with the lowest held-out loss; None where none was measured at the step of a checkpoint."""
    measured = {}
    for folder in folders:
        try:
            heldout = read_state(folder).get("heldout")
        except VideoJamError:
            continue
        if isinstance(heldout, int | float):
            measured[folder] = heldout
    return min(measured, key=lambda folder: measured[folder]) if measured else None


def checkpoints(out: Path) -> list[Path]:
    """Return the checkpoints of a run, the newest one first."""
    return sorted((out / "checkpoints").glob(f"{PREFIX}*"), reverse=True)


def read_state(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's step, counts, config and files.

    Raises:
        VideoJamError: the file is missing or damaged, or of an earlier version's format.
    """
    try:
        content = json.loads((folder / STATE_NAME).read_text())
        kinds = (("step", int), ("counts", dict), ("config", dict))
        if isinstance(content, dict) and all(isinstance(content.get(key), kind) for key, kind in kinds):
            if content.get("format") == FORMAT and isinstance(content.get("files"), dict):
                return content
            found = f"format {content.get('format', 1)}, and this version reads {FORMAT}"
        else:
            found = "something else"
    except (OSError, ValueError) as error:
        found = reason(error)
    raise damaged(folder, f"{STATE_NAME}: {found}")


def check_file(folder: Path, name: str, expected: str) -> None:
    """Refuse a file of a checkpoint whose bytes are not those that were written.

    Raises:
        VideoJamError: it is missing, cut short or changed.
    """
    try:
        found = checksum(folder / name)
    except OSError as error:
        raise damaged(folder, f"{name}: {reason(error)}") from None
    if found != expected:
        raise damaged(folder, f"other bytes in {name} than were written")


def checksum(path: Path) -> str:
    """Return the CRC-32 of a file."""
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            value = zlib.crc32(chunk, value)
    return f"{value:08x}"


def damaged(folder: Path, found: str) -> VideoJamError:
    """Return the error of a checkpoint that can't be used."""
    return VideoJamError(
        expected="a whole checkpoint of this run",
        found=found,
        where=str(folder),
        fix=f"Remove {folder.parent} to start from the first step, or choose another out folder.",
    )


def failed(folder: Path, error: BaseException, previous: Path | None) -> VideoJamError:
    """Return the error of a checkpoint that could not be written.

    Args:
        folder: It.
        error: What happened; torch's own wraps that of each process.
        previous: The newest one that is whole.
    """
    causes = getattr(error, "failures", None)
    first = next(iter(causes.values()))[0] if causes else error
    return VideoJamError(
        expected="room and permission to write",
        found=reason(first),
        where=str(folder),
        fix=f"Free space and start again; the run goes on from {previous.name if previous else 'its start'}.",
    )
