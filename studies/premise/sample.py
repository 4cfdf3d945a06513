"""Sampling clips by Euler steps on t, from noise that is the same for every arm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from studies.premise.model import has_own_noise, is_joint
from studies.premise.rules import Rule, Velocity
from studies.premise.testbed import Bed, generator_of
from videojam.joint.latents import with_level
from videojam.world import judge, to_levels, to_units
from videojam.world.latents import decode

NUM_STEPS = 30
MOTION_TOLERANCE = 0.4
"""Largest rms difference of a frame of drawn motion, in units; one without its mover differs by about 0.9."""


@dataclass(frozen=True)
class Sampled:
    """Clips as they are seen and judged.

    Attributes:
        video: Levels, `[N, 3, F, H, W]` of uint8.
        motion: The motion half's pictures, of a joint model.
        caption: Rows of the captions that they were made for.
    """

    video: Tensor
    motion: Tensor | None
    caption: Tensor


@torch.no_grad()
def sample(
    bed: Bed,
    model: torch.nn.Module,
    rule: Rule,
    num: int,
    noise_seed: int,
    weaker: torch.nn.Module | None = None,
) -> Sampled:
    """Sample clips of balanced captions.

    Args:
        bed: World on the model's device, with the model's gain.
        model: Base or joint.
        rule: How it is guided; only a model whose motion has noise of its own can be asked for a lead.
        num: Clips.
        noise_seed: Of the noise; the same for each arm that is compared.
        weaker: For autoguidance.
    """
    own = has_own_noise(model)
    if rule.lead != 1 and not own:
        raise ValueError(f"{rule.name}: the model's motion has the noise level of x, so it cannot lead")
    world = bed.config.world
    shape = (num, 3, world.num_frames, world.size_px, world.size_px)
    # noise is drawn on the CPU, so that another device gives the same clips
    x = torch.randn(shape, generator=generator_of("cpu", "x", noise_seed)).to(bed.device)
    eps_d = torch.randn(shape, generator=generator_of("cpu", "d", noise_seed)).to(bed.device)
    caption = torch.arange(num, device=bed.device) % bed.num_captions
    true_d = torch.zeros_like(x)
    if rule.oracle:
        clips = bed.clips(num, generator_of(bed.device, "oracle", noise_seed))
        true_d, caption = bed.latents(clips)[1], clips.caption
    latents = torch.cat([x, eps_d], dim=1) if is_joint(model) else x

    def true_motion(t_d: float) -> Tensor:
        return t_d * true_d + (1 - t_d) * eps_d

    velocity = Velocity(model, rule, bed.texts[caption], bed.texts[-1], weaker)
    return seen_as(bed, integrate(velocity, latents, motion=true_motion if rule.oracle else None), caption)


def integrate(
    velocity: Velocity, latents: Tensor, first: int = 0, motion: Callable[[float], Tensor] | None = None
) -> Tensor:
    """Take Euler steps from the step `first` on to clean latents.

    Args:
        velocity: Of a model under a rule.
        latents: Noised to where that step starts, `[N, C or 2C, F, H, W]`.
        first: Step, of `NUM_STEPS`.
        motion: The motion half at its time, put in place of the model's own; None leaves that.
    """
    own, rule = has_own_noise(velocity.model), velocity.rule
    for step in range(first, NUM_STEPS):
        t = step / NUM_STEPS
        t_d = rule.motion_time(t) if own else t
        if motion is not None:
            latents[:, 3:] = motion(t_d)
        seen = with_level(latents, t_d) if own else latents
        moved = velocity(seen, t, step) / NUM_STEPS
        if own:
            step_d = rule.motion_time((step + 1) / NUM_STEPS) - t_d
            moved[:, 3:] *= step_d * NUM_STEPS  # an Euler step of its own length
        latents = latents - moved
    return latents


def seen_as(bed: Bed, latents: Tensor, caption: Tensor) -> Sampled:
    """Return clean latents as they are seen."""
    world = bed.config.world
    motion = to_levels(decode(world, latents[:, 3:]) / bed.config.gain) if latents.shape[1] > 3 else None
    return Sampled(to_levels(decode(world, latents[:, :3])), motion, caption)


def coherence(bed: Bed, sampled: Sampled) -> dict[str, Tensor]:
    """Judge clips; returns lists over clips.

    Keys: `coherent`, `as_asked`, `explained` (share of frames). Of a joint model also `motion_lawful`, whether its
    motion half is the drawing of a lawful scene, and `on_path`, the share of frames in which the picture's mover
    is where the motion's is.
    """
    verdict = judge(bed.config.world, bed.distinct, sampled.video, sampled.caption)
    flags = {key: getattr(verdict, key).cpu() for key in ("coherent", "as_asked", "explained")}
    if sampled.motion is None:
        return flags
    drawn = bed.drawn_motion()
    residual = torch.stack(
        [(drawn - clip).square().mean((1, 3, 4)).sqrt() for clip in to_units(sampled.motion)]
    )  # [N, K, F]
    scene = residual.square().sum(2).argmin(1)
    nearest = residual[torch.arange(len(scene), device=scene.device), scene]
    flags["motion_lawful"] = (nearest.amax(1) < MOTION_TOLERANCE).cpu()
    covered = bed.distinct.covered()
    flags["on_path"] = (covered[scene] == covered[verdict.scene]).all(2).float().mean(1).cpu()
    return flags
