"""Classifier-free guidance: by the text only."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from videojam.guidance.rules.rule import Predictions, Rule, Weights


def cfg(
    u: Float[Tensor, " *shape"], u_null_text: Float[Tensor, " *shape"], w_text: float
) -> Float[Tensor, " *shape"]:
    """Classifier-free guidance in the paper's scale: ũ = u∅ + (1+w1)·(u − u∅).

    Args:
        u: Prediction u(x, d, y), any shape and float dtype.
        u_null_text: Prediction u(x, d, ∅).
        w_text: w1 ≥ 0; diffusers' guidance scale is 1 + w1.
    """
    return u_null_text + (1 + w_text) * (u - u_null_text)


class Cfg(Rule):
    """Stock CFG of scale s = 1 + w1; the passes are as they are."""

    weights: tuple[str, ...] = ("w_text",)

    def scale(self, weights: Weights) -> float:
        """Return 1 + w1."""
        return 1 + weights.text

    def combine(self, seen: Predictions, weights: Weights) -> Tensor:
        """Return ũ = u∅ + (1+w1)·(u − u∅)."""
        return seen.u if seen.null_text is None else cfg(seen.u, seen.null_text, weights.text)


RULE = Cfg()
