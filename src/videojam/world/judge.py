"""Analysis by synthesis: a clip is explained by the best of all lawful clips, and each frame that isn't is named.

For a lawful scene, the ground's explanation is each pixel's median over the frames in which it is bare, the
mover's is each cell's median over the frames in which it shows. A frame is explained if the rest of the red
channel, the mover's cells, and the two other channels (all static) are within a tolerance of it. A scene with a
pillar explains nothing unless blue shows the pillar where the scene has it, nor does one without where one shows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from videojam.world.captions import caption_index
from videojam.world.config import WorldConfig
from videojam.world.draw import to_units
from videojam.world.scenes import Scenes

REASONS = ("ground", "mover", "colour")
"""Why a frame isn't explained: the ground changes or its pillar is elsewhere, the mover isn't there, green or blue
change."""
NUM_VALUES = {"cpu": 2**21, "cuda": 2**24}
"""Values of the red channel compared at once, over clips, scenes, frames and pixels: about 100 bytes each."""


@dataclass(frozen=True)
class Verdict:
    """What the judge says of N clips.

    Attributes:
        coherent: Every frame is explained by one lawful scene.
        as_asked: Coherent, and the scene and the tint are the caption's.
        explained: Share of frames that the best lawful scene explains, 0..1.
        caption: Row of the caption that describes the explanation.
        scene: Row of the table of the best scene.
        failed: Per frame, which of `REASONS` hold, `[N, F, 3]`.
    """

    coherent: Bool[Tensor, " n"]
    as_asked: Bool[Tensor, " n"]
    explained: Float[Tensor, " n"]
    caption: Int[Tensor, " n"]
    scene: Int[Tensor, " n"]
    failed: Bool[Tensor, "n f 3"]


@torch.no_grad()
def judge(
    config: WorldConfig,
    scenes: Scenes,
    video: UInt8[Tensor, "n 3 f h w"],
    asked: Int[Tensor, " n"],
    tolerance: float = 0.5,
    faintest: float | None = None,
    chunk: int | None = None,
) -> Verdict:
    """Judge clips as they are seen, that is in 8 bits.

    Args:
        config: World.
        scenes: Its distinct lawful scenes, on the video's device.
        video: Clips.
        asked: Rows of the captions that they were made for.
        tolerance: Largest rms difference in units, of the ground or of the mover, in a frame; a single pixel
            of the ground may differ by three times it.
        faintest: Smallest distance of the mover's red from mid-grey, in units, for it to be there at all; None is
            half of the world's `offset`. With 0 the judge asks how a mover moves and not how visible it is.
        chunk: Clips judged at once; memory grows with it. None takes what fits into 0.2 GB on a CPU, 2 GB on a GPU.
    """
    faintest = config.offset / 2 if faintest is None else faintest
    num_values = NUM_VALUES["cpu" if video.device.type == "cpu" else "cuda"]
    chunk = chunk or max(1, num_values // (len(scenes) * config.num_frames * scenes.num_pixels))
    parts = [
        _judge_few(config, scenes, to_units(few), wanted, tolerance, faintest)
        for few, wanted in zip(video.split(chunk), asked.split(chunk), strict=True)
    ]
    return Verdict(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Verdict)))


def _judge_few(
    config: WorldConfig, scenes: Scenes, x: Tensor, asked: Tensor, tolerance: float, faintest: float
) -> Verdict:
    red, others = x[:, 0].flatten(2), x[:, 1:].flatten(3)
    bad_colour = _too_far(others - _median(others, 2), tolerance).any(1)
    ground = _ground_residual(scenes, red)
    mover, tint = _mover_residual(scenes, red)
    ground_rms, mover_rms = _rms(ground), _rms(mover)
    absent = (tint.abs() < faintest)[..., None]
    bad_ground = _too_far(ground, tolerance) | ~_pillar_fits(config, scenes, x[:, 2], tolerance)[..., None]
    bad_mover = (mover_rms > tolerance) | absent
    explained = ~(bad_ground | bad_mover | bad_colour[:, None])
    share = explained.float().mean(2)
    # among scenes that explain as many frames, the one with the least residual
    residual = ground_rms.square().mean(2) + mover_rms.square().mean(2)
    best = (share - 1e-3 * residual / (1 + residual)).argmax(1)
    rows = torch.arange(len(x), device=x.device)
    found = caption_index(config, scenes.kind[best], scenes.speed[best], (tint[rows, best] > 0).long())
    coherent = share[rows, best] == 1
    return Verdict(
        coherent=coherent,
        as_asked=coherent & (found == asked),
        explained=share[rows, best],
        caption=found,
        scene=best,
        failed=torch.stack([bad_ground[rows, best], bad_mover[rows, best], bad_colour], dim=2),
    )


def _ground_residual(scenes: Scenes, red: Float[Tensor, "n f q"]) -> Float[Tensor, "n k f q"]:
    """Difference of the bare pixels from their median over frames, for each scene; NaN where covered."""
    bare = red[:, None].masked_fill(scenes.covered(), torch.nan)
    return bare - _median(bare, 2)


def _mover_residual(
    scenes: Scenes, red: Float[Tensor, "n f q"]
) -> tuple[Float[Tensor, "n k f p"], Float[Tensor, "n k"]]:
    """Difference of the mover's cells from their median over frames, and the caption's tint: the medians' mean."""
    index = scenes.place.expand(len(red), -1, -1, -1)
    cells = (
        red[:, None].expand(-1, len(scenes), -1, -1).gather(3, index).masked_fill(scenes.hidden, torch.nan)
    )
    median = _median(cells, 2)
    return cells - median, (median * scenes.sign[:, None]).nanmean((2, 3))


def _pillar_fits(
    config: WorldConfig, scenes: Scenes, blue: Float[Tensor, "n f h w"], tolerance: float
) -> Bool[Tensor, "n k"]:
    """Whether blue shows the pillar of each scene or, for a scene without one, no pillar of the world's."""
    off = (_median(blue.flatten(2), 1)[:, 0] - config.offset).square()
    front = scenes.front.float()
    shows = (off @ front.T / front.sum(1)).sqrt() <= tolerance  # NaN, so False, without a pillar
    return torch.where(scenes.front.any(1), shows, ~shows.any(1, keepdim=True))


def _median(values: Tensor, dim: int) -> Tensor:
    """Median over a dimension that keeps it; the mean of the middle two; NaN entries don't count."""
    ordered = values.sort(dim).values  # NaN last
    count = (~values.isnan()).sum(dim, keepdim=True)
    low = ordered.gather(dim, ((count - 1) // 2).clamp_min(0))
    return (low + ordered.gather(dim, (count // 2).clamp(max=values.shape[dim] - 1))) / 2


def _rms(values: Tensor) -> Tensor:
    """Root of the mean square over the last dimension; NaN entries don't count, and none at all is 0."""
    return values.square().nanmean(-1).nan_to_num(0).sqrt()


def _too_far(values: Tensor, tolerance: float) -> Tensor:
    """Whether the rms over the last dimension is beyond the tolerance, or one value beyond three times it."""
    return (_rms(values) > tolerance) | (values.nan_to_num(0).abs().amax(-1) > 3 * tolerance)
