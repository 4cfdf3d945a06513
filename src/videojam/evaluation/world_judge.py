"""The world as a judge like any other: a clip is explained by the best of all lawful clips, frame by frame."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from videojam.evaluation.judge import Measure, Verdict
from videojam.world import WORLD_VERSION, WorldConfig, distinct_scenes, enlarged, score_clip, to_units
from videojam.world.config import MID_LEVEL, UNIT_LEVELS
from videojam.world.score import explain, world_pixels

WORLD = WorldConfig()
SHOWN_PX = 192
DIM = 0.3
"""Share of its brightness that the static ground keeps."""
FAINT_UNITS = 0.8
"""A smaller change is not lit."""
LIT, GOOD, BAD = (255, 246, 214), (64, 208, 120), (255, 82, 70)


class WorldJudge:
    """Scores clips of the world's captions; each frame that no lawful clip explains is a reason."""

    name = f"world-v{WORLD_VERSION}"
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
        found = score_clip(video, prompt, WORLD)
        return {
            "coherent": Verdict(float(found.coherent), found.reasons),
            "as_asked": float(found.as_asked),
            "explained": found.explained,
        }


def what_moves(video: UInt8[Tensor, "t 3 h w"], prompt: str) -> UInt8[Tensor, "t 3 shown shown"]:
    """Draw a clip with its static ground dimmed, what changes lit, and the judge's explanation over it.

    The square is the mover of the lawful clip that explains most frames; it is green where the frame is explained,
    and red, with a red frame, where it is not.

    Raises:
        VideoJamError: as `WorldJudge.score`.
    """
    found, pixels = explain(video, prompt, WORLD), to_units(world_pixels(video, WORLD))
    world = WORLD.model_copy(update={"num_frames": len(video)})
    places = distinct_scenes(world).place[found.scene[0]]
    change = (pixels - _ground(pixels, places)).abs().amax(0)  # [T, H, W]
    lit = ((change - FAINT_UNITS) / 1.2).clamp(0, 1)[:, None]
    ground = DIM * (pixels.mean(0)[:, None] * UNIT_LEVELS + MID_LEVEL)
    frames = (1 - lit) * ground + lit * torch.tensor(LIT).view(1, 3, 1, 1)
    scale = SHOWN_PX // WORLD.size_px
    shown = enlarged(frames, scale).clamp(0, 255).to(torch.uint8)
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
