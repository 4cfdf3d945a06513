"""What a training run's folder says of itself, for its export and its card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videojam.errors import VideoJamError
from videojam.misfits import reason
from videojam.training.config import TrainConfig
from videojam.training.log import Line, read_lines

FACTS_NAME = "run.json"


@dataclass(frozen=True)
class RunFacts:
    """A run, finished or not.

    Attributes:
        folder: Its folder.
        config: Its recipe, with nothing left open.
        versions: Of the packages that it ran with.
        git_revision: Of videojam; None of an installed one.
        left_out: Clips that were not used, with their reasons.
        num_training: Clips that were trained on.
        num_heldout: Clips that were held out.
        lines: Its log.
    """

    folder: Path
    config: TrainConfig
    versions: dict[str, str]
    git_revision: str | None
    left_out: dict[str, str]
    num_training: int
    num_heldout: int
    lines: list[Line]


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training run."""
    return (folder / FACTS_NAME).is_file()


def read_run(folder: Path) -> RunFacts:
    """Read what a run wrote of itself.

    Raises:
        VideoJamError: a file is missing or damaged, or of another version.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS_NAME).read_text(encoding="utf-8"))
        clips = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
        return RunFacts(
            folder=folder,
            config=TrainConfig.model_validate(facts["config"]),
            versions={"videojam": str(facts["videojam"]), **facts["versions"]},
            git_revision=facts.get("git_revision"),
            left_out=dict(facts.get("left_out", {})),
            num_training=len(clips["training"]),
            num_heldout=len(clips["heldout"]),
            lines=read_lines(folder / "log.jsonl"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        name = getattr(error, "filename", None)
        found = reason(error) + (f": {Path(name).name}" if name else "")
    raise VideoJamError(
        expected=f"a training run's folder, with {FACTS_NAME} and clips.json of this version",
        found=found,
        where=str(folder),
        fix="Export the model itself, RUN/model: its card then says nothing of the recipe.",
    )
