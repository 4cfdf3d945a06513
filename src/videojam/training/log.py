"""The run's log, a JSON line for each entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from videojam.files import write_text

Line = dict[str, Any]


class Log:
    """The run's `log.jsonl`; on resume, lines past the checkpoint are dropped, as they will be written again.

    Attributes:
        num_torn: Lines that could not be read, as a killed process or a full disk leaves them; they are dropped.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        lines = path.read_text(errors="replace").splitlines() if step and path.exists() else []
        steps = [_step_of(line) for line in lines]
        self.num_torn = steps.count(None)
        kept = [line for line, own in zip(lines, steps, strict=True) if own is not None and own <= step]
        write_text(path, "".join(line + "\n" for line in kept))

    def write(self, line: Line) -> None:
        """Append one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def read_lines(path: Path) -> list[Line]:
    """Read a log; a torn line is passed over, and no file is an empty log.

    Args:
        path: `log.jsonl`.
    """
    if not path.is_file():
        return []
    lines = path.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if _step_of(line) is not None]


def _step_of(line: str) -> int | None:
    """Return the step of a line; None where it is torn."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) else None
