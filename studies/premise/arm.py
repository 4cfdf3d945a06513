"""One model in training: its step, its averaged weights, and its state as a flat table of tensors."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from studies.premise.config import ArmConfig
from studies.premise.model import has_own_noise, is_joint, predict
from studies.premise.muon import StackedMuon
from studies.premise.testbed import Bed, seed_of
from videojam.joint.latents import with_level

SUMS = ("appearance", "motion", "clipped")


class Arm:
    """A base or a fine-tune of it. All that changes from step to step lies in tensors on the device.

    Attributes:
        config: What it does differently.
        model: Weights in training, fp32.
        average: Exponential moving average of them; what is measured and sampled.
        num_steps: Steps done.
    """

    def __init__(self, config: ArmConfig, bed: Bed, model: torch.nn.Module) -> None:
        """Put a model on the testbed's device and make its optimisers."""
        self.config, self.train = config, bed.config.train
        self.bed = bed = bed.with_gain(config.gain)
        self.model = model.to(bed.device).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.is_joint, self.has_own_noise = is_joint(model), has_own_noise(model)
        self.num_steps = 0
        self.rate, self.average_weight = (torch.zeros((), device=bed.device) for _ in range(2))
        self.sums = torch.zeros(len(SUMS) + 1, device=bed.device)  # and the number of steps in them
        self.draws_x, self.draws_d = (torch.Generator(bed.device) for _ in range(2))
        named = dict(self.model.named_parameters())
        matrices = {n: p for n, p in named.items() if n.startswith("blocks.") and p.ndim == 2}
        self.rest = {n: p for n, p in named.items() if n not in matrices}
        self.muon = StackedMuon(list(matrices.values()), self.rate)
        self.adamw = torch.optim.AdamW(
            list(self.rest.values()),
            lr=self.rate,
            betas=(0.9, 0.98),
            weight_decay=0,
            fused=True,
            capturable=bed.device.type == "cuda",
        )
        for (
            parameter
        ) in self.rest.values():  # so that they exist before a graph is captured or a state loaded
            self.adamw.state[parameter] = {
                "step": torch.zeros((), device=bed.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def set_step(self, num_steps: int, rate: float) -> None:
        """Prepare the step after `num_steps`: its rate, the average's weight, its draws.

        Draws are a function of seed and step, so a resumed run needs no generator's state, and the control sees
        the clips, noise, times and text dropout of VideoJAM, whose motion has a generator of its own.
        """
        self.num_steps = num_steps
        self.rate.fill_(rate)
        decay = min(self.train.ema, (1 + num_steps) / (10 + num_steps))
        self.average_weight.fill_(1 - decay)
        self.draws_x.manual_seed(seed_of(self.config.seed, num_steps, "x"))
        self.draws_d.manual_seed(seed_of(self.config.seed, num_steps, "d"))

    def step(self) -> None:
        """Draw a batch and update weights and average; nothing in it waits for the device."""
        loss_x, loss_d = self.losses()
        self.model.zero_grad(set_to_none=True)
        (loss_x + self.train.motion_weight * loss_d).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.train.clip)
        self.muon.step()
        self.adamw.step()
        with torch.no_grad():
            weights: list[Tensor] = list(self.model.parameters())
            averages: list[Tensor] = list(self.average.parameters())
            steps = torch._foreach_sub(weights, averages)
            torch._foreach_mul_(steps, self.average_weight)  # a tensor, so no graph holds its value
            torch._foreach_add_(averages, steps)
            clipped = (norm > self.train.clip).float()
            self.sums += torch.stack([loss_x.detach(), loss_d.detach(), clipped, torch.ones_like(clipped)])

    def losses(self) -> tuple[Tensor, Tensor]:
        """Return the losses of the appearance and of the motion half (Eq. 6) on a batch drawn for the step."""
        bed, num, train = self.bed, self.train.batch_size, self.train
        draw: dict[str, Any] = {"device": bed.device, "generator": self.draws_x}
        clips = bed.clips(num, self.draws_x)
        x, d = bed.latents(clips)
        sigma = torch.sigmoid(torch.randn(num, **draw))
        eps_x = torch.randn(x.shape, **draw)
        caption = clips.caption.masked_fill(torch.rand(num, **draw) < train.text_dropout, bed.num_captions)
        text, level = bed.texts[caption], sigma[:, None, None, None, None]
        noised = x.lerp(eps_x, level)
        draw["generator"] = self.draws_d
        if self.is_joint:
            eps_d = torch.randn(d.shape, **draw)
            kept = torch.rand(num, **draw) >= train.motion_dropout
            if self.has_own_noise:  # uniform, as sampling is long at d's clean end where d leads
                sigma_d = torch.rand(num, **draw)
                level = sigma_d[:, None, None, None, None]
            noised = torch.cat([noised, d.lerp(eps_d, level) * kept[:, None, None, None, None]], dim=1)
            if self.has_own_noise:
                noised = with_level(noised, 1 - sigma_d)
        with torch.autocast(
            bed.device.type, torch.bfloat16, enabled=bed.device.type == "cuda", cache_enabled=False
        ):
            predicted = predict(self.model, noised, sigma, text)
        error = (predicted[:, :3].float() - (eps_x - x)).square()
        if self.config.moving_weight != 1:
            error = error * (1 + (self.config.moving_weight - 1) * bed.moving(clips))
        if not self.is_joint:
            return error.mean(), torch.zeros((), device=bed.device)
        return error.mean(), (predicted[:, 3:].float() - (eps_d - d)).square().mean()

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor that training changes, by name; writing into them restores a state."""
        yield from ((f"model.{name}", value) for name, value in self.model.state_dict().items())
        yield from ((f"average.{name}", value) for name, value in self.average.state_dict().items())
        yield from ((f"muon.{index}", buffer) for index, buffer in enumerate(self.muon.buffers))
        for name, parameter in self.rest.items():
            yield from ((f"adamw.{name}.{key}", v) for key, v in self.adamw.state[parameter].items())
        yield "sums", self.sums

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Write a state into the tensors that hold it, in place."""
        for name, value in self.state():
            value.copy_(state[name])

    def mean_losses(self) -> dict[str, float]:
        """Return the means since the last call, which waits for the device; a resumed run has those before it too."""
        means = (self.sums[:-1] / self.sums[-1].clamp(min=1)).tolist()
        self.sums.zero_()
        return dict(zip(SUMS, means, strict=True))
