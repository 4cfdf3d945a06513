"""The grid world as a judge like any other: a clip is explained by the best of all lawful clips, frame by frame."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.evaluation.judge import Measure, Verdict
from videojam.world.grid import GridConfig, Scenes, captions, judge, lawful_scenes, to_units
from videojam.world.grid import Verdict as GridVerdict

WORLD = GridConfig()
WORDS = ("the ground changes", "the mover is not where it should be", "green or blue changes")
"""The judge's reasons, in the order of `videojam.world.grid.REASONS`."""
ENLARGED = 8
"""Pixels of a side of a file that one pixel of the world takes: a block of the video codec, so that it keeps them."""
SHOWN_PX = 192
DIM = 0.3
"""Share of its brightness that the static ground keeps."""
FAINT_UNITS = 0.8
"""A smaller change is not lit."""
LIT, GOOD, BAD = (255, 246, 214), (64, 208, 120), (255, 82, 70)


class GridJudge:
    """Scores clips of the grid world's captions; each frame that no lawful clip explains is a reason."""

    name = "grid-v1"
    measures = (
        Measure(name="coherent", title="coherent", kind="share", better="higher", headline=True),
        Measure(name="as_asked", title="as asked", kind="share", better="higher", headline=True),
        Measure(name="explained", title="frames explained", unit="%", better="higher", headline=True),
    )
    note = (
        "A clip is compared with every lawful clip of the world. Coherent: one of them explains every frame. As "
        "asked: it is coherent, and tint and speed are the prompt's."
    )

    def score(self, video: UInt8[Tensor, "t 3 h w"], fps: float, prompt: str) -> dict[str, float]:
        """Score one clip.

        Args:
            video: Pixels, of the world's frames at any whole enlargement.
            fps: Not looked at: the laws are in frames.
            prompt: A caption of the world.

        Raises:
            VideoJamError: the prompt is no caption of the world, or the clip is not of its size.
        """
        found = explain(video, prompt)
        reasons = [
            f"frame {frame + 1}: {' and '.join(word for word, no in zip(WORDS, failed, strict=True) if no)}"
            for frame, failed in enumerate(found.failed[0].tolist())
            if any(failed)
        ]
        return {
            "coherent": Verdict(float(found.coherent[0]), reasons),
            "as_asked": float(found.as_asked[0]),
            "explained": float(found.explained[0]),
        }


def explain(video: UInt8[Tensor, "t 3 h w"], prompt: str) -> GridVerdict:
    """Judge one clip as it is seen.

    Raises:
        VideoJamError: as `GridJudge.score`.
    """
    known = captions(WORLD)
    if prompt not in known:
        raise VideoJamError(
            expected=f"a caption of the grid world, such as {known[0]!r}",
            found=repr(prompt),
            where="prompt",
            fix="Use the suite grid, or another judge.",
        )
    return judge(WORLD, _scenes(), world_pixels(video)[None], torch.tensor([known.index(prompt)]))


def world_pixels(video: UInt8[Tensor, "t 3 h w"]) -> UInt8[Tensor, "3 t size size"]:
    """Undo a whole enlargement: the mean of each block of pixels.

    Raises:
        VideoJamError: another number of frames, or a size that is no multiple of the world's.
    """
    num_frames, _, height, width = video.shape
    size = WORLD.size_px
    if num_frames != WORLD.num_frames or height != width or height % size:
        raise VideoJamError(
            expected=f"{WORLD.num_frames} square frames of a multiple of {size} px",
            found=f"{num_frames} frames of {width}×{height} px",
            where="the clip",
            fix="Sample at the size of the model's defaults.",
        )
    blocks = video.float().unflatten(3, (size, -1)).unflatten(2, (size, -1))
    return blocks.mean((3, 5)).round().to(torch.uint8).transpose(0, 1)


def what_moves(video: UInt8[Tensor, "t 3 h w"], prompt: str) -> UInt8[Tensor, "t 3 shown shown"]:
    """Draw a clip with its static ground dimmed, what changes lit, and the judge's explanation over it.

    The square is the mover of the lawful clip that explains most frames; it is green where the frame is explained,
    and red, with a red frame, where it is not.
    """
    found, pixels = explain(video, prompt), to_units(world_pixels(video))
    places = _scenes().place[found.scene[0]]
    change = (pixels - _ground(pixels, places)).abs().amax(0)  # [T, H, W]
    lit = ((change - FAINT_UNITS) / 1.2).clamp(0, 1)[:, None]
    ground = DIM * (pixels.mean(0)[:, None] * 40 + 128)
    frames = (1 - lit) * ground + lit * torch.tensor(LIT).view(1, 3, 1, 1)
    scale = SHOWN_PX // WORLD.size_px
    shown = frames.repeat_interleave(scale, 2).repeat_interleave(scale, 3).clamp(0, 255).to(torch.uint8)
    for frame, (cells, failed) in enumerate(zip(places, found.failed[0].any(1), strict=True)):
        colour = torch.tensor(BAD if failed else GOOD, dtype=torch.uint8)
        top, left = int(cells.min()) // WORLD.size_px, int(cells.min()) % WORLD.size_px
        side = WORLD.mover_px * scale
        _outline(shown[frame], top * scale, left * scale, side, colour)
        if failed:
            _outline(shown[frame], 0, 0, SHOWN_PX, colour, thickness=5)
    return shown


def _ground(pixels: Float[Tensor, "3 t h w"], places: Int[Tensor, "t p"]) -> Float[Tensor, "3 1 h w"]:
    """Return each pixel's median over the frames in which the mover leaves it bare; over all where it never does."""
    flat = pixels.flatten(2)
    covered = torch.zeros(flat.shape[1:], dtype=torch.bool).scatter_(1, places, True)
    bare = flat.masked_fill(covered, torch.nan).nanmedian(dim=1, keepdim=True).values
    ground = torch.where(bare.isnan(), flat.median(dim=1, keepdim=True).values, bare)
    return ground.unflatten(2, pixels.shape[2:])


def _outline(
    frame: UInt8[Tensor, "3 h w"], top: int, left: int, side: int, colour: Tensor, thickness: int = 3
) -> None:
    """Draw the border of a square into a frame."""
    box = frame[:, top : top + side, left : left + side]
    inside = box[:, thickness:-thickness, thickness:-thickness].clone()
    box[:] = colour[:, None, None]
    box[:, thickness:-thickness, thickness:-thickness] = inside


@cache
def _scenes() -> Scenes:
    return lawful_scenes(WORLD).distinct()


def true_clip(prompt: str, seed: int) -> Float[Tensor, "3 t size size"]:
    """Draw a lawful clip of a caption, in units: the first that the seed gives.

    Raises:
        VideoJamError: the prompt is no caption of the world.
    """
    from videojam.world.grid import draw_clips

    chance, wanted = torch.Generator().manual_seed(seed), captions(WORLD).index(prompt)
    while True:
        clips = draw_clips(WORLD, lawful_scenes(WORLD), 16, chance)
        fitting = (clips.caption == wanted).nonzero()
        if len(fitting):
            return clips.x[fitting[0, 0]]
