"""How the arms are sampled: one velocity from several forwards, all of them in one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from studies.premise.model import is_joint, predict
from videojam.guidance.lead import motion_time
from videojam.guidance.rules.cfg import cfg
from videojam.guidance.rules.inner import inner_guidance
from videojam.guidance.rules.ip2p import ip2p


@dataclass(frozen=True)
class Rule:
    """A sampling rule.

    Attributes:
        w_text: w1 of Eq. 8.
        w_motion: w2 of Eq. 8.
        w_auto: Scale of autoguidance by a weaker model, ũ = u + w·(u − u_weaker).
        on: Whether w2 acts on both halves or on only the appearance.
        window: Range of t in which w2 acts.
        form: Eq. 8, or InstructPix2Pix's (there w1 and w2 are absolute).
        null_motion: The network never sees motion (Table 3's "w/o optical flow").
        oracle: The motion half is the true motion, noised.
        reuse: The null-motion branch is computed at every n-th step, and kept between.
        lead: How far d is ahead of x, in a model whose motion has noise of its own: 1 − t_d = (1 − t)^lead, so
            that d starts `lead` times as fast and both end at t = 1.
    """

    w_text: float = 0.0
    w_motion: float = 0.0
    w_auto: float = 0.0
    on: Literal["both", "appearance"] = "both"
    window: tuple[float, float] = (0.0, 1.0)
    form: Literal["inner", "ip2p"] = "inner"
    null_motion: bool = False
    oracle: bool = False
    reuse: int = 1
    lead: float = 1.0

    @property
    def name(self) -> str:
        """Its differences from plain sampling, as a word."""
        parts = [f"{key}{value:g}" for key, value in self._scales() if value]
        parts += ["on-x"] if self.on == "appearance" else []
        parts += [f"t{self.window[0]:g}-{self.window[1]:g}"] if self.window != (0.0, 1.0) else []
        parts += ["ip2p"] if self.form == "ip2p" else []
        parts += ["no-flow"] if self.null_motion else []
        parts += ["oracle"] if self.oracle else []
        parts += [f"reuse{self.reuse}"] if self.reuse > 1 else []
        parts += [f"lead{self.lead:g}"] if self.lead != 1 else []
        return "_".join(parts) or "plain"

    @property
    def num_forwards(self) -> float:
        """Forwards of a model a step, on average over t in 0..1."""
        if self.form == "ip2p":
            return 3.0
        first, last = self.window
        blind = (last - first) / self.reuse if self.w_motion else 0.0
        return 1.0 + (self.w_text != 0) + blind + (self.w_auto != 0)

    def motion_time(self, t: float) -> float:
        """Return t_d, where d is when x is at t."""
        return motion_time(float(t), self.lead)

    def _scales(self) -> tuple[tuple[str, float], ...]:
        return ("w1=", self.w_text), ("w2=", self.w_motion), ("auto=", self.w_auto)


class Velocity:
    """ε − x (and ε − d) of a model under a rule, as a function of the latents."""

    def __init__(
        self, model: torch.nn.Module, rule: Rule, text: Tensor, null: Tensor, weaker: torch.nn.Module | None
    ) -> None:
        """Bind a rule to its models and texts.

        Args:
            model: Base or joint.
            rule: Scales.
            text: Word vectors of the captions, `[N, L, D]`.
            null: Those of the null text, `[L, D]`.
            weaker: What autoguidance leads away from; of the same kind as the model.
        """
        self.model, self.rule, self.weaker = model, rule, weaker
        self.text, self.null = text, null.expand_as(text)
        self.joint = is_joint(model)
        self._blind: Tensor | None = None

    def __call__(self, latents: Tensor, t: float, step: int) -> Tensor:
        """Return the guided velocity at t in 0..1; `step` counts from 0."""
        rule = self.rule
        blind = latents.clone()
        blind[:, 3:] = 0
        seen = blind if rule.null_motion else latents
        if rule.form == "ip2p":
            u, no_text, neither = self._forward([(seen, True), (seen, False), (blind, False)], t)
            return ip2p(u, no_text, neither, rule.w_text, rule.w_motion)
        with_motion = self.joint and rule.w_motion != 0 and rule.window[0] <= t < rule.window[1]
        asks_blind = with_motion and (step % rule.reuse == 0 or self._blind is None)
        inputs = [(seen, True)]
        inputs += [(seen, False)] if rule.w_text else []
        inputs += [(blind, True)] if asks_blind else []
        u, *others = self._forward(inputs, t)
        no_text = others[0] if rule.w_text else u
        guided = cfg(u, no_text, rule.w_text)
        if with_motion:
            self._blind = others[-1] if asks_blind else self._blind
            assert self._blind is not None  # asked for where there was none
            both = inner_guidance(u, no_text, self._blind, rule.w_text, rule.w_motion)
            guided = both if rule.on == "both" else torch.cat([both[:, :3], guided[:, 3:]], dim=1)
        if rule.w_auto and self.weaker is not None:
            sigma = torch.full((len(seen),), 1 - t, device=seen.device)
            guided = guided + rule.w_auto * (u - predict(self.weaker, seen, sigma, self.text))
        return guided

    def _forward(self, inputs: list[tuple[Tensor, bool]], t: float) -> tuple[Tensor, ...]:
        """Run (latents, whether captioned) pairs as one batch."""
        latents = torch.cat([part for part, _ in inputs])
        text = torch.cat([self.text if captioned else self.null for _, captioned in inputs])
        sigma = torch.full((len(latents),), 1 - t, device=latents.device)
        return predict(self.model, latents, sigma, text).chunk(len(inputs))
