"""Strips of frames: one row a clip, with its name and a verdict beside it, under a title."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from videojam.files import write_file

ZOOM, GAP, TITLE_PX, MARGIN, LINE_PX = 2, 4, 34, 14, 16
PAPER, INK = (255, 255, 255), (29, 30, 32)
GOOD, BAD = (24, 112, 58), (179, 38, 30)
FONT, SMALL = ImageFont.load_default(15), ImageFont.load_default(13)


class Row(NamedTuple):
    """One clip: its frames uint8 [T, 3, H, W], and what stands beside it."""

    label: str
    frames: torch.Tensor
    verdict: str = ""
    good: bool = False


def draw_strip(title: str, rows: Sequence[Row], num_frames: int, label_px: int) -> Image.Image:
    """`num_frames` frames of each clip from first to last, under the title."""
    height, side = (ZOOM * size for size in rows[0].frames.shape[2:])
    width = 2 * MARGIN + label_px + num_frames * (side + GAP)
    image = Image.new("RGB", (width, TITLE_PX + len(rows) * (height + GAP) + MARGIN), PAPER)
    pen = ImageDraw.Draw(image)
    pen.text((MARGIN, MARGIN), title, INK, FONT)
    for i, row in enumerate(rows):
        top = TITLE_PX + i * (height + GAP)
        lines = textwrap.wrap(row.verdict, label_px // 7)
        middle = top + (height - (len(lines) + 1) * LINE_PX) // 2
        pen.text((MARGIN, middle), row.label, INK, FONT)
        for j, line in enumerate(lines, 1):
            pen.text((MARGIN, middle + 2 + j * LINE_PX), line, GOOD if row.good else BAD, SMALL)
        for j, at in enumerate(np.linspace(0, len(row.frames) - 1, num_frames).round().astype(int)):
            frame = row.frames[at].permute(1, 2, 0).contiguous().numpy()
            shown = Image.fromarray(frame).resize((side, height), Image.Resampling.NEAREST)
            image.paste(shown, (MARGIN + label_px + j * (side + GAP), top))
    return image


def save_stack(strips: Sequence[Image.Image], out: Path) -> None:
    """Strips of one width below one another, as a picture."""
    picture = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips) + MARGIN), PAPER)
    top = 0
    for strip in strips:
        picture.paste(strip, (0, top))
        top += strip.height
    write_file(out, lambda unfinished: picture.save(unfinished, format=out.suffix[1:], optimize=True))
    print(f"{out}: {picture.width}×{picture.height}")
