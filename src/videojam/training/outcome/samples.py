"""Samples of a model for its card: the clip, its predicted motion, and both side by side as a picture that moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from videojam.models.load import LoadedModel
from videojam.motion.animation import write_animation
from videojam.motion.video import write_video
from videojam.sampling.sample import sample
from videojam.sampling.settings import SampleSettings
from videojam.training.config import TrainConfig
from videojam.training.outcome.settings import ExportSettings

FOLDER = "samples"


class Sample(NamedTuple):
    """One sample.

    Attributes:
        prompt: What was asked for.
        seed: Its seed.
        picture: Animated picture, relative to the card.
        how: Its settings, in words.
    """

    prompt: str
    seed: int
    picture: str
    how: str


def make_samples(
    model: LoadedModel,
    out: Path,
    settings: ExportSettings,
    config: TrainConfig | None,
    say: Callable[[str], None],
) -> list[Sample]:
    """Sample the prompts, one at a time, at the size of the training clips if it is known.

    Args:
        model: Model to sample.
        out: Folder of the card.
        settings: With the prompts.
        config: Recipe of the run; None if there is none.
        say: Hears of each sample.
    """
    sizes = {}
    if config is not None:
        source = config.data.source
        sizes = {name: getattr(source, name) for name in ("num_frames", "height", "width")}
        sizes["max_sequence_length"] = config.data.max_sequence_length
    asked = SampleSettings(**{**sizes, "num_steps": settings.num_steps})
    made = []
    for i, prompt in enumerate(settings.prompts):
        seed = settings.seed + i
        say(f"sampling {prompt!r}, seed {seed}")
        output = sample(model, [prompt], asked, seeds=seed)
        assert output.video is not None
        stem, fps = f"{FOLDER}/{i:03d}", output.settings.fps
        write_video(out / f"{stem}.mp4", output.video[0], fps)
        shown = output.video[0]
        if output.motion_video is not None:
            write_video(out / f"{stem}.motion.mp4", output.motion_video[0], fps)
            shown = torch.cat([shown, output.motion_video[0]], dim=3)
        write_animation(out / f"{stem}.webp", shown, fps)
        guidance = output.settings.guidance
        how = f"guidance {guidance.mode}, w1 {guidance.w_text:g}"
        if output.window is not None:
            how += f", w2 {guidance.w_motion:g}, window {guidance.window}"
        made.append(Sample(prompt, seed, f"{stem}.webp", f"{how}, {output.settings.num_steps} steps"))
    return made
