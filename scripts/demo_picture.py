"""Draw the README's picture from a finished demo: frames of each arm side by side, and VideoJAM's motion.

    python scripts/demo_picture.py out/demo docs/demo.png [--prompts 0 3] [--frames 8]

Prompts are taken by number, so that the caller's choice is visible in the command; by default they are the
first of each kind, good or bad. The verdict under each strip is the demo's own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from videojam.motion.video import read_video

ROWS = (("base", "Base"), ("control", "Control"), ("videojam", "VideoJAM"), ("motion", "its motion"))
ZOOM, GAP, LABEL_PX, TITLE_PX, MARGIN = 2, 4, 116, 34, 14
PAPER, INK, QUIET = (255, 255, 255), (29, 30, 32), (98, 102, 108)
GOOD, BAD = (24, 112, 58), (179, 38, 30)


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
    strips = [draw_prompt(args.demo, clips, index, args.frames) for index in prompts]
    height = sum(strip.height for strip in strips) + MARGIN
    picture = Image.new("RGB", (strips[0].width, height), PAPER)
    top = 0
    for strip in strips:
        picture.paste(strip, (0, top))
        top += strip.height
    args.out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(args.out, optimize=True)
    print(f"{args.out}: {picture.width}×{picture.height}, prompts {prompts}")


def draw_prompt(demo: Path, clips: list[dict[str, Any]], index: int, num_frames: int) -> Image.Image:
    """One row of frames for each arm, under the prompt."""
    own = {clip["arm"]: clip for clip in clips if clip["index"] == index}
    rows = []
    for arm, label in ROWS:
        clip = own["videojam" if arm == "motion" else arm]
        path = demo / (clip["motion"] if arm == "motion" else clip["video"])
        frames = read_video(path).frames
        chosen = np.linspace(0, len(frames) - 1, num_frames).round().astype(int).tolist()
        verdict = None if arm == "motion" else clip["coherent"]
        rows.append((label, verdict, frames[chosen].repeat_interleave(ZOOM, 2).repeat_interleave(ZOOM, 3)))
    side = rows[0][2].shape[-1]
    width = 2 * MARGIN + LABEL_PX + num_frames * (side + GAP)
    image = Image.new("RGB", (width, TITLE_PX + len(rows) * (side + GAP) + MARGIN), PAPER)
    pen, font, small = ImageDraw.Draw(image), ImageFont.load_default(15), ImageFont.load_default(13)
    pen.text((MARGIN, MARGIN), own["base"]["prompt"], INK, font)
    for i, (label, verdict, frames) in enumerate(rows):
        top = TITLE_PX + i * (side + GAP)
        pen.text((MARGIN, top + side // 2 - 18), label, INK, font)
        if verdict is not None:
            text, colour = ("coherent", GOOD) if verdict else ("not coherent", BAD)
            pen.text((MARGIN, top + side // 2 + 2), text, colour, small)
        for j, frame in enumerate(frames):
            image.paste(to_image(frame), (MARGIN + LABEL_PX + j * (side + GAP), top))
    return image


def to_image(frame: torch.Tensor) -> Image.Image:
    """uint8 [3, H, W] to a picture."""
    return Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())


if __name__ == "__main__":
    main()
