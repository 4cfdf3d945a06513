"""Damage to world clips: appearance damage that a scorer must tolerate, temporal damage that it must reject.

Pixel damage works on any clip [T, 3, H, W]; a vanished part and a cut are drawn from the scene itself, as a
model would draw them: with the background in place of the part, or with another scene of the same colours.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from videojam.world.background import draw_background
from videojam.world.caption import write_caption
from videojam.world.clip import WORLD_VERSION, make_scene
from videojam.world.config import WorldConfig
from videojam.world.palette import colour_rgb
from videojam.world.render import draw
from videojam.world.scene import Scene

APPEARANCE_DAMAGE = ("noise", "blur")
TEMPORAL_DAMAGE = ("shuffled", "frozen", "reversed", "vanished", "cut")
DAMAGES = ("none", *APPEARANCE_DAMAGE, *TEMPORAL_DAMAGE)
NOISE_SIGMA, BLUR_SIGMA_PX = 0.08, 1.0
VANISH_FRAMES = 5
CUT_SEED_STEP = 1_000_003

Video = UInt8[Tensor, "t 3 h w"]


def add_noise(video: Video, rng: np.random.Generator, sigma: float = NOISE_SIGMA) -> Video:
    """Add Gaussian noise of `sigma` (of the 0..1 range), independent for each pixel, channel and frame."""
    noise = rng.standard_normal(tuple(video.shape), dtype=np.float32) * np.float32(255 * sigma)
    return torch.from_numpy(np.clip(np.rint(video.numpy() + noise), 0, 255).astype(np.uint8))


def blur(video: Video, sigma_px: float = BLUR_SIGMA_PX) -> Video:
    """Blur each frame by a Gaussian."""
    frames = video.permute(0, 2, 3, 1).contiguous().numpy()
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma_px) for frame in frames])
    return torch.from_numpy(soft).permute(0, 3, 1, 2).contiguous()


def shuffle(video: Video, rng: np.random.Generator) -> Video:
    """Put the frames in a random order."""
    return video[torch.from_numpy(rng.permutation(len(video)))]


def freeze_from(video: Video, frame: int) -> Video:
    """Hold one frame to the end."""
    return torch.cat([video[:frame], video[frame : frame + 1].expand(len(video) - frame, -1, -1, -1)])


def reverse_from(video: Video, frame: int) -> Video:
    """Play what follows a frame backwards."""
    return torch.cat([video[:frame], video[frame:].flip(0)])


def damaged_clip(
    seed: int, damage: str, config: WorldConfig | None = None, kind: str | None = None
) -> tuple[Video, str]:
    """Render the clip of a seed and damage it; returns the video and its (true) caption."""
    config = config or WorldConfig()
    scene, rng = make_scene(seed, config, kind)
    drawing = draw(scene, draw_background(rng, config), config.num_frames)
    video = torch.from_numpy(drawing.video)
    caption = write_caption(scene.facts)
    chance = np.random.default_rng([WORLD_VERSION, seed, DAMAGES.index(damage)])
    if damage == "noise":
        video = add_noise(video, chance)
    elif damage == "blur":
        video = blur(video)
    elif damage == "shuffled":
        video = shuffle(video, chance)
    elif damage == "frozen":
        video = freeze_from(video, _half_in_view(drawing.moving))
    elif damage == "reversed":
        video = reverse_from(video, _half_in_view(drawing.moving))
    elif damage == "vanished":
        video = _vanish(seed, config, scene, video, chance)
    elif damage == "cut":
        video = _cut(seed, config, scene, video, chance)
    return video, caption


def _render(scene: Scene, rng: np.random.Generator, config: WorldConfig) -> Video:
    return torch.from_numpy(draw(scene, draw_background(rng, config), config.num_frames).video)


def _half_in_view(moving: NDArray[np.bool_]) -> int:
    """The last frame of the first half on which nothing hides the parts.

    Damage behind a pillar, or to a ball that turns round at the far wall, may keep the law.
    """
    area = moving.sum(axis=(1, 2))
    shown = np.flatnonzero(area > 0.8 * area.max())
    return int(shown[shown <= len(moving) // 2].max(initial=1))


def _vanish(seed: int, config: WorldConfig, scene: Scene, video: Video, chance: np.random.Generator) -> Video:
    """Take one coloured part away for `VANISH_FRAMES` frames on which it would be in full view."""
    same, rng = make_scene(seed, config, scene.facts.kind)
    name = scene.facts.colours[int(chance.integers(len(scene.facts.colours)))]
    without = replace(same, parts=tuple(p for p in same.parts if not np.array_equal(p.rgb, colour_rgb(name))))
    empty = _render(without, rng, config)
    area = (video.int() - empty.int()).abs().amax(dim=1).gt(24).sum(dim=(1, 2)).numpy()
    full = area > 0.9 * np.percentile(area, 75)
    starts = range(1, len(full) - VANISH_FRAMES + 1)
    best = max(full[i : i + VANISH_FRAMES].sum() for i in starts)
    start = int(chance.choice([i for i in starts if full[i : i + VANISH_FRAMES].sum() == best]))
    out = video.clone()
    out[start : start + VANISH_FRAMES] = empty[start : start + VANISH_FRAMES]
    return out


def _cut(seed: int, config: WorldConfig, scene: Scene, video: Video, chance: np.random.Generator) -> Video:
    """Go on, from about the middle, with another scene of the same kind in the same colours."""
    other, rng = make_scene(seed + CUT_SEED_STEP, config, scene.facts.kind)
    paint = {
        tuple(colour_rgb(theirs)): colour_rgb(ours)
        for theirs, ours in zip(other.facts.colours, scene.facts.colours, strict=True)
    }
    parts = tuple(replace(part, rgb=paint.get(tuple(part.rgb), part.rgb)) for part in other.parts)
    second = _render(replace(other, parts=parts), rng, config)
    at = int(chance.integers(len(video) // 2 - 2, len(video) // 2 + 3))
    return torch.cat([video[:at], second[at:]])
