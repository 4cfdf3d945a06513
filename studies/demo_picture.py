"""Draw the README's picture from a finished demo: frames of each arm, what moves in them, and VideoJAM's motion.

    python -m studies.demo_picture out/demo docs/demo.png [--prompts 0 3] [--frames 6]

Prompts are taken by number, so that the caller's choice is visible in the command; by default they are the
first of each kind, good or bad. The verdict under each strip is the demo's own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image

from studies.strips import Row, draw_strip, save_stack
from videojam.bench.folder import Bench, Item
from videojam.bench.presets import DEMO_ARMS
from videojam.evaluation.world_judge import WorldJudge, what_moves
from videojam.motion.video import read_video

LABEL_PX = 172
COHERENT = f"{WorldJudge.name}.coherent"
Values = dict[str, dict[str, dict[str, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--prompts", type=int, nargs="+", default=None)
    parser.add_argument("--frames", type=int, default=6)
    args = parser.parse_args()
    bench = Bench.open(args.demo)
    values = json.loads((args.demo / "results.json").read_text())["values"]
    first_of_kind = {item.prompt.category: i for i, item in reversed(list(enumerate(bench.items)))}
    chosen = sorted(first_of_kind.values()) if args.prompts is None else args.prompts
    save_stack([draw_prompt(bench, values, bench.items[i], args.frames) for i in chosen], args.out)


def draw_prompt(bench: Bench, values: Values, item: Item, num_frames: int) -> Image.Image:
    """VideoJAM's clip as it is seen, then what moves in each arm's, and VideoJAM's motion, under the prompt."""
    rows = [Row("VideoJAM’s clip", read_video(bench.clip("VideoJAM", item)).frames)]
    for arm in DEMO_ARMS:
        good = values[arm][COHERENT][item.key] == 1
        frames = read_video(bench.clip(arm, item)).frames
        # at the clip's own size: an outline of three pixels becomes one
        moves = what_moves(frames, item.prompt.text)[:, :, 1::3, 1::3]
        rows.append(Row(f"{arm}: what moves", moves, "coherent" if good else "not coherent", good))
    rows.append(Row("its motion", read_video(bench.motion("VideoJAM", item)).frames))
    return draw_strip(item.prompt.text, rows, num_frames, LABEL_PX)


if __name__ == "__main__":
    main()
