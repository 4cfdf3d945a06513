"""Held-out losses at each t: is the premise met, and what has a model learned?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from studies.premise.model import has_own_noise, is_joint, predict
from studies.premise.testbed import Bed, generator_of
from videojam.joint.latents import with_level
from videojam.objective.pushes import push_products
from videojam.world import Clips

TIMES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NUM_CLIPS = 512


@dataclass(frozen=True)
class HeldOut:
    """What a model is asked about: the same clips, noise and order of frames for every model.

    Attributes:
        x: Appearance latents.
        d: Motion latents.
        eps_x: Noise of x.
        eps_d: Noise of d.
        order: A random order of the frames of each clip, `[N, F]`.
        moving: Where the mover shows.
        text: Word vectors of the captions.
        gain: Factor on d's latents.
    """

    x: Tensor
    d: Tensor
    eps_x: Tensor
    eps_d: Tensor
    order: Tensor
    moving: Tensor
    text: Tensor
    gain: float

    def permuted(self, latents: Tensor) -> Tensor:
        """Put the frames of each clip in its random order."""
        return latents.gather(2, self.order[:, None, :, None, None].expand_as(latents))

    def with_gain(self, gain: float) -> HeldOut:
        """Return the same with another factor on d's latents."""
        return self if gain == self.gain else replace(self, d=gain / self.gain * self.d, gain=gain)


def make_heldout(bed: Bed, num: int = NUM_CLIPS) -> HeldOut:
    """Draw clips that no training sees, and noise."""
    generator = generator_of(bed.device, "held out")
    clips: Clips = bed.clips(num, generator)
    x, d = bed.latents(clips)
    chance = torch.rand(num, x.shape[2], generator=generator, device=bed.device)
    return HeldOut(
        x=x,
        d=d,
        eps_x=torch.randn(x.shape, generator=generator, device=bed.device),
        eps_d=torch.randn(d.shape, generator=generator, device=bed.device),
        order=chance.argsort(1),
        moving=bed.moving(clips),
        text=bed.texts[clips.caption],
        gain=bed.config.gain,
    )


@torch.no_grad()
def heldout_losses(model: torch.nn.Module, data: HeldOut) -> dict[str, list[float]]:
    """Return lists over `TIMES`.

    Keys: `x` the appearance loss, `moving` the same where the mover shows, `static_share` the share of x's
    loss elsewhere, `permuted` the ratio of x's loss on permuted frames; of a joint model also `d`, its motion
    loss, and `w_star`, the scale of motion guidance that would lower x's loss most (0 is ideal). Motion with
    noise of its own has the level of x here.
    """
    table: dict[str, list[Tensor]] = {}
    for t in TIMES:
        for name, value in _losses_at(model, data, t).items():
            table.setdefault(name, []).append(value)
    return {name: torch.stack(values).tolist() for name, values in table.items()}


def _losses_at(model: torch.nn.Module, data: HeldOut, t: float) -> dict[str, Tensor]:
    error, motion_error, prediction = _errors(model, data, data.x, data.d, t)
    permuted, _, _ = _errors(model, data, data.permuted(data.x), data.permuted(data.d), t)
    losses = {
        "x": error.mean(),
        "moving": error[data.moving].mean(),
        "static_share": error[~data.moving].sum() / error.sum(),
        "permuted": permuted.mean() / error.mean(),
    }
    if motion_error is not None:
        losses["d"] = motion_error.mean()
        without, _, blind = _errors(model, data, data.x, data.d, t, null_motion=True)
        guide = (prediction - blind)[:, :3]
        missing = data.eps_x - data.x - prediction[:, :3]
        losses["x_without_d"] = without.mean()
        part, whole = push_products(missing, guide)
        losses["w_star"] = part.sum() / whole.sum().clamp_min(1e-12)
    return losses


def _errors(
    model: torch.nn.Module, data: HeldOut, x: Tensor, d: Tensor, t: float, null_motion: bool = False
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Squared errors of both halves at one t, and the prediction."""
    sigma = torch.full((len(x),), 1 - t, device=x.device)
    latents = t * x + (1 - t) * data.eps_x
    if is_joint(model):
        motion = (t * d + (1 - t) * data.eps_d) * (not null_motion)
        latents = torch.cat([latents, motion], dim=1)
    if has_own_noise(model):
        latents = with_level(latents, 1 - sigma)
    prediction = predict(model, latents, sigma, data.text)
    error = (prediction[:, :3] - (data.eps_x - x)).square()
    if not is_joint(model):
        return error, None, prediction
    return error, (prediction[:, 3:] - (data.eps_d - d)).square(), prediction
