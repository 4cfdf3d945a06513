"""Damage to clips of the world: what a judge must accept, and what it must reject."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torch.nn import functional

from videojam.world.config import WorldConfig
from videojam.world.draw import Clips, draw_clips, painted, to_levels, to_units
from videojam.world.scenes import Scenes

NOISE_SIGMA = 0.08
"""Of the 0..1 range. It is half a unit, so as much as the judge's tolerance, and the static ground visibly flickers:
this much is rejected, and half of it is accepted."""

Video = UInt8[Tensor, "n 3 f h w"]
Damage = Callable[[WorldConfig, Scenes, Clips, torch.Generator], Tensor]


def truth(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """No damage."""
    return to_levels(clips.x)


def noise(
    config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator, sigma: float = NOISE_SIGMA
) -> Video:
    """Gaussian noise of `sigma` of the 0..1 range, independent for each value."""
    video = to_levels(clips.x)
    added = 255 * sigma * torch.randn(video.shape, generator=chance)
    return (video + added).round().clamp(0, 255).to(torch.uint8)


def faint_noise(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """A quarter of `noise`."""
    return noise(config, scenes, clips, chance, NOISE_SIGMA / 4)


def half_noise(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """Half of `noise`."""
    return noise(config, scenes, clips, chance, NOISE_SIGMA / 2)


def blur(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """Each frame averaged over 3×3 pixels; at the edge the nearest pixel is repeated."""
    frames = clips.x.transpose(1, 2).flatten(0, 1)
    soft = functional.avg_pool2d(functional.pad(frames, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return to_levels(soft.unflatten(0, (len(clips.x), -1)).transpose(1, 2))


def shuffled(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """The frames of each clip in a random order that isn't theirs."""
    num, num_frames = len(clips.x), config.num_frames
    order = torch.rand(num, num_frames, generator=chance).argsort(1)
    own = (order == torch.arange(num_frames)).all(1, keepdim=True)
    order = torch.where(own, order.roll(1, 1), order)
    return to_levels(clips.x).gather(2, order[:, None, :, None, None].expand_as(clips.x))


def frozen(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """The middle frame held to the end."""
    video, middle = to_levels(clips.x), config.num_frames // 2
    video[:, :, middle:] = video[:, :, middle : middle + 1].clone()
    return video


def reversed_half(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """The second half played backwards."""
    video, middle = to_levels(clips.x), config.num_frames // 2
    video[:, :, middle:] = video[:, :, middle:].flip(2)
    return video


def teleport(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """From the middle on, the mover follows another scene of its kind, far away."""
    return _repainted(config, scenes, clips, _others(scenes, clips, chance))


def vanishing(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """The mover is gone from the middle on."""
    video, ground = to_levels(clips.x), _ground(config, scenes, clips, chance)
    middle = config.num_frames // 2
    video[:, :, middle:] = ground[:, :, middle:]
    return video


def split(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """From the middle on there is a second mover, that follows another scene of the kind."""
    return _repainted(config, scenes, clips, _others(scenes, clips, chance), keep=True)


def cut(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """From the middle on, another clip."""
    video, middle = to_levels(clips.x), config.num_frames // 2
    other = to_levels(draw_clips(config, scenes, len(clips.x), chance).x)
    video[:, :, middle:] = other[:, :, middle:]
    return video


def _ground(config: WorldConfig, scenes: Scenes, clips: Clips, chance: torch.Generator) -> Video:
    """The clips without their mover: what was never bare gets texture of its own."""
    x = clips.x.clone()
    red = x[:, 0].flatten(2)
    bare = red.masked_fill(scenes[clips.scene].covered(), torch.nan).nanmean(1)
    fresh = config.texture * torch.randn(bare.shape, generator=chance)
    x[:, 0] = torch.where(bare.isnan(), fresh, bare).unflatten(1, x.shape[3:])[:, None]
    return to_levels(x)


def _others(scenes: Scenes, clips: Clips, chance: torch.Generator) -> Int[Tensor, " n"]:
    """Draw another scene of each clip's kind, with its pillar where it is."""
    own = clips.scene[:, None]
    alike = (scenes.kind == scenes.kind[own]) & (scenes.front == scenes.front[own]).all(2)
    return torch.rand(alike.shape, generator=chance).masked_fill(~alike, -1).argmax(1)


def _repainted(
    config: WorldConfig, scenes: Scenes, clips: Clips, other: Int[Tensor, " n"], keep: bool = False
) -> Video:
    """Paint the mover along other scenes from the middle on, and keep its own or not."""
    chance = torch.Generator().manual_seed(0)
    middle, x = config.num_frames // 2, clips.x
    red = x[:, 0].flatten(2)
    seen = red.gather(2, scenes.place[clips.scene]).masked_fill(scenes.hidden[clips.scene], torch.nan)
    cells = seen.nanmedian(1, keepdim=True).values.expand_as(seen)
    ground = x if keep else to_units(_ground(config, scenes, clips, chance))
    moved = painted(ground[:, 0].flatten(2), scenes.shown(other), cells)
    out = to_levels(x)
    out[:, 0, middle:] = to_levels(moved.unflatten(2, x.shape[3:]))[:, middle:]
    return out


BORNE: tuple[Damage, ...] = (truth, faint_noise, half_noise)
APPEARANCE: tuple[Damage, ...] = (noise, blur)
MOTION: tuple[Damage, ...] = (
    shuffled,
    frozen,
    reversed_half,
    teleport,
    vanishing,
    split,
    cut,
)
