"""Where a run's log lines are shown besides `log.jsonl`: TensorBoard, trackio or Weights & Biases, by accelerate."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from videojam.errors import VideoJamError
from videojam.training.config import TrainConfig
from videojam.training.log import Line

FOLDER = "tensorboard"
PROJECT = "videojam"


def require_trackers(config: TrainConfig) -> None:
    """Refuse a recipe whose tracker isn't installed, before anything is encoded or written.

    Raises:
        VideoJamError: a package is missing.
    """
    for name in config.trackers:
        try:
            is_there = find_spec(name) is not None
        except ValueError:  # imported, and without a spec
            is_there = False
        if not is_there:
            raise _no_tracker(name, "no such package")


def open_trackers(config: TrainConfig, first_step: int) -> list[Any]:
    """Open what the recipe names, on the first process.

    Args:
        config: The recipe.
        first_step: Steps done before; TensorBoard drops what an earlier process wrote after it.

    Raises:
        VideoJamError: a package is missing, or the service refused.
    """
    from accelerate import tracking

    opened = []
    for name in config.trackers:
        kinds = {
            "tensorboard": lambda: tracking.TensorBoardTracker(
                FOLDER, config.out, purge_step=first_step + 1 if first_step else None
            ),
            "trackio": lambda: tracking.TrackioTracker(PROJECT, name=config.out.name),
            "wandb": lambda: tracking.WandBTracker(PROJECT, name=config.out.name, dir=str(config.out)),
        }
        try:
            tracker = kinds[name]()
            tracker.start()
        except Exception as error:  # each service has errors of its own
            raise _no_tracker(
                name, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            ) from error
        opened.append(tracker)
    return opened


def _no_tracker(name: str, found: str) -> VideoJamError:
    return VideoJamError(
        expected=f"the tracker {name}",
        found=found,
        where="trackers",
        fix=f"Install it (pip install {name}) and log in if it asks for it, or set trackers: [] in the recipe.",
    )


def track(trackers: list[Any], line: Line) -> None:
    """Give a log line's numbers to the trackers, in groups: train, heldout, speed."""
    from videojam.training.speed import TIMES

    values = {}
    for key, value in line.items():
        if key == "step" or not isinstance(value, int | float):
            continue
        group = "speed" if key in TIMES else "heldout" if "@" in key else "train"
        values[f"{group}/{key.removeprefix('heldout_').replace('@', '/t=')}"] = value
    for tracker in trackers:
        tracker.log(values, step=line["step"])


def show_clip(trackers: list[Any], name: str, animation: Path, size: tuple[int, int], step: int) -> None:
    """Give an animated GIF to TensorBoard, which plays it among its images.

    Args:
        trackers: Those that are open; others show files of the run's folder themselves.
        name: Of the clip.
        animation: The file.
        size: Height and width.
        step: Steps done.
    """
    for tracker in trackers:
        if tracker.name != "tensorboard":
            continue
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(
            height=size[0], width=size[1], colorspace=3, encoded_image_string=animation.read_bytes()
        )
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        tracker.tracker.file_writer.add_summary(summary, step)
        tracker.tracker.flush()
