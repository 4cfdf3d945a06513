"""Draw what the study's clips look like: of each kind the first prompt, the true clip and three arms, with verdicts.

    python -m studies.controlled.picture BASE RUNS/arms-0 OUT.png [--prompt 0] [--clutter 0]

The small-scale counterpart of the paper's Fig. 2. The prompt is taken by number, good or bad; the true clip is the
scene of the world from which the prompt was written, also shown as BASE's autoencoder gives it back; verdicts are the
scorer's, of the arms read from their mp4 files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from studies.strips import Row, draw_strip, save_stack
from studies.tiny.measure import through_autoencoder
from studies.tiny.tiny_world import TINY_WORLD
from videojam.bench.make.suites import Prompt, load_suite
from videojam.models.load import LoadedModel, load_model
from videojam.motion.video import read_video
from videojam.world import KINDS, sample_clip, score_clip

NUM_FRAMES, LABEL_PX = 9, 250
ARMS = {"base": "Base", "control": "Control", "videojam": "VideoJAM"}


def scored(label: str, video: Tensor, caption: str) -> Row:
    """A row with the first law that the clip breaks, and how many more."""
    score = score_clip(video, caption)
    if score.coherent:
        return Row(label, video, "coherent", good=True)
    more = f", and {len(score.reasons) - 1} more" if len(score.reasons) > 1 else ""
    return Row(label, video, f"{score.reasons[0]}{more}")


def draw_prompt(base: LoadedModel, bench: Path, prompt: Prompt, clutter: int) -> Image.Image:
    """The true clip, what the autoencoder keeps of it, and each arm's, under the prompt."""
    world = TINY_WORLD.model_copy(update={"clutter": clutter})
    true = sample_clip(prompt.seed or 0, world, prompt.category).video
    decoded = (through_autoencoder(base, true[None])[0] * 255).round().byte()
    rows = [
        scored("True clip", true, prompt.text),
        scored("True clip, through the autoencoder", decoded, prompt.text),
    ]
    for arm, label in ARMS.items():
        rows.append(scored(label, read_video(bench / f"arms/{arm}/{prompt.id}_s0.mp4").frames, prompt.text))
    return draw_strip(prompt.text, rows, NUM_FRAMES, LABEL_PX)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", type=Path)
    parser.add_argument("bench", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--prompt", type=int, default=0)
    parser.add_argument("--clutter", type=int, default=0)
    args = parser.parse_args()
    prompts = {prompt.id: prompt for prompt in load_suite("world").prompts}
    chosen = [prompts[f"{kind}-{args.prompt:02d}"] for kind in KINDS]
    base = load_model(args.base)
    save_stack([draw_prompt(base, args.bench, prompt, args.clutter) for prompt in chosen], args.out)


if __name__ == "__main__":
    main()
