"""The files of validation clips: `out/samples/step_N/`, an mp4 for each text, and the same in TensorBoard."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from videojam.files import written_whole
from videojam.motion.animation import GIF_MAX_FPS, write_animation
from videojam.motion.video import write_video
from videojam.sampling.generate import slug
from videojam.sampling.settings import ResolvedSettings
from videojam.training.checkpoint import PREFIX
from videojam.training.trackers import show_clip

FOLDER = "samples"
ABOUT_NAME = "samples.json"
MAX_WIDTH_PX = 960
"""Of what TensorBoard shows; the files have every pixel."""


@dataclass(frozen=True)
class Clip:
    """What stands side by side in one file.

    Attributes:
        prompt: Its text.
        seed: Of its noise.
        columns: The base's clip, the model's, and the motion that it predicts, from left to right.
    """

    prompt: str
    seed: int
    columns: UInt8[Tensor, "t 3 h w"]


def folder_of(out: Path, step: int) -> Path:
    """Return where the clips of a step stand.

    Args:
        out: Folder of the run.
        step: Steps done.
    """
    return out / FOLDER / f"{PREFIX}{step:08d}"


def write_clips(
    out: Path, step: int, clips: list[Clip], settings: ResolvedSettings, trackers: list[Any]
) -> Path:
    """Write an mp4 for each clip, and `samples.json` with their texts, seeds and settings; show them.

    Args:
        out: Folder of the run.
        step: Steps done.
        clips: In their order.
        settings: That they were sampled with.
        trackers: Those that are open.

    Returns:
        The folder, which appears when all files are there.

    Raises:
        VideoJamError: no room or permission; the last checkpoint stands.
    """
    folder = folder_of(out, step)
    names = [f"{i:03d}_{slug(clip.prompt)}" for i, clip in enumerate(clips)]
    fix = "Free space and start again: the last checkpoint stands."
    with written_whole(folder, fix, replaces=ABOUT_NAME) as unfinished:
        for name, clip in zip(names, clips, strict=True):
            write_video(unfinished / f"{name}.mp4", clip.columns, settings.fps)
        about = {
            "step": step,
            "columns": ["base", "model", "motion"][: clips[0].columns.shape[3] // settings.width],
            "clips": [
                {"file": f"{name}.mp4", "prompt": clip.prompt, "seed": clip.seed}
                for name, clip in zip(names, clips, strict=True)
            ],
            "settings": settings.model_dump(mode="json"),
        }
        (unfinished / ABOUT_NAME).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    for name, clip in zip(names, clips, strict=True):
        _show(trackers, name, clip.columns, settings.fps, step)
    return folder


def _show(trackers: list[Any], name: str, frames: Tensor, fps: float, step: int) -> None:
    """Give a clip, made smaller where it is wide, to TensorBoard."""
    if not any(tracker.name == "tensorboard" for tracker in trackers):
        return
    width = frames.shape[3]
    if width > MAX_WIDTH_PX:
        scale = MAX_WIDTH_PX / width
        small = torch.nn.functional.interpolate(frames.float(), scale_factor=scale, mode="area")
        frames = small.round().to(torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = write_animation(Path(folder) / "clip.gif", frames, min(fps, GIF_MAX_FPS))
        show_clip(trackers, f"{FOLDER}/{name}", path, tuple(frames.shape[2:]), step)  # type: ignore[arg-type]
