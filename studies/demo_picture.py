"""Draw the README's picture from a finished demo: frames of each arm side by side, and VideoJAM's motion.

    python -m studies.demo_picture out/demo docs/demo.png [--prompts 0 3] [--frames 8]

Prompts are taken by number, so that the caller's choice is visible in the command; by default they are the
first of each kind, good or bad. The verdict under each strip is the demo's own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from PIL import Image

from studies.strips import Row, draw_strip, save_stack
from videojam.demo.result import ARMS
from videojam.motion.video import read_video

LABEL_PX = 116


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--prompts", type=int, nargs="+", default=None)
    parser.add_argument("--frames", type=int, default=8)
    args = parser.parse_args()
    clips = json.loads((args.demo / "results.json").read_text())["clips"]
    first_of_kind = {clip["kind"]: clip["index"] for clip in reversed(clips)}
    prompts = sorted(first_of_kind.values()) if args.prompts is None else args.prompts
    save_stack([draw_prompt(args.demo, clips, index, args.frames) for index in prompts], args.out)


def draw_prompt(demo: Path, clips: list[dict[str, Any]], index: int, num_frames: int) -> Image.Image:
    """One row of frames for each arm and for VideoJAM's motion, under the prompt."""
    own = {clip["arm"]: clip for clip in clips if clip["index"] == index}
    rows = []
    for arm, label in ARMS.items():
        good = own[arm]["coherent"]
        frames = read_video(demo / own[arm]["video"]).frames
        rows.append(Row(label, frames, "coherent" if good else "not coherent", good))
    rows.append(Row("its motion", read_video(demo / own["videojam"]["motion"]).frames))
    return draw_strip(own["base"]["prompt"], rows, num_frames, LABEL_PX)


if __name__ == "__main__":
    main()
