"""Autoguidance (Karras et al. 2024): by the text, and away from a weaker model of the same kind."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from videojam.guidance.rules.cfg import Cfg, cfg
from videojam.guidance.rules.rule import Branch, Predictions, Weights


def autoguidance(
    u: Float[Tensor, " *shape"],
    u_null_text: Float[Tensor, " *shape"],
    u_weaker: Float[Tensor, " *shape"],
    w_text: float,
    w_auto: float,
) -> Float[Tensor, " *shape"]:
    """Autoguidance beside classifier-free guidance: ũ = u∅ + (1+w1)·(u − u∅) + w·(u − u_weaker).

    Args:
        u: Prediction of the model with the prompt, any shape and float dtype.
        u_null_text: Its prediction with the null text.
        u_weaker: Prediction of the weaker model with the prompt.
        w_text: w1.
        w_auto: w; 0 is no autoguidance.
    """
    return cfg(u, u_null_text, w_text) + w_auto * (u - u_weaker)


class Auto(Cfg):
    """Stock CFG of scale s = 1 + w1, whose conditional pass returns u + w/s·(u − u_weaker)."""

    weights = ("w_text", "w_auto")
    branch = Branch(beside="cond", of="weaker model")

    def combine(self, seen: Predictions, weights: Weights) -> Tensor:
        """Return ũ = u∅ + (1+w1)·(u − u∅) + w·(u − u_weaker)."""
        if seen.branch is None:
            return super().combine(seen, weights)
        null_text = seen.u if seen.null_text is None else seen.null_text
        return autoguidance(seen.u, null_text, seen.branch, weights.text, weights.auto)

    def returned(self, seen: Predictions, weights: Weights, scale: float) -> Tensor:
        """Return u + w/s·(u − u_weaker)."""
        return seen.u if seen.branch is None else seen.u + weights.auto / scale * (seen.u - seen.branch)

    def uses_branch(self, weights: Weights) -> bool:
        """Unless w = 0."""
        return weights.auto != 0


RULE = Auto()
