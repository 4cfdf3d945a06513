"""Inner-Guidance (Eq. 8 of arXiv 2502.02492): by the text and by the model's own motion."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from videojam.guidance.rules.cfg import Cfg, cfg
from videojam.guidance.rules.rule import Branch, Predictions, Weights


def inner_guidance(
    u: Float[Tensor, " *shape"],
    u_null_text: Float[Tensor, " *shape"],
    u_null_motion: Float[Tensor, " *shape"],
    w_text: float,
    w_motion: float,
) -> Float[Tensor, " *shape"]:
    """Inner-Guidance (Eq. 8 of arXiv 2502.02492): ũ = u∅ + (1+w1)·(u − u∅) + w2·(u − u₀).

    Equals (1+w1+w2)·u − w1·u∅ − w2·u₀; this order is that of diffusers' CFG, so that both are equal bit
    for bit where u = u₀.

    Args:
        u: Prediction u(x, d, y), any shape and float dtype.
        u_null_text: Prediction u(x, d, ∅).
        u_null_motion: Prediction u(x, 0, y).
        w_text: w1, the paper's is 5.
        w_motion: w2, the paper's is 3.
    """
    return cfg(u, u_null_text, w_text) + w_motion * (u - u_null_motion)


def motion_guided(
    u: Float[Tensor, " *shape"], u_null_motion: Float[Tensor, " *shape"], scale: float, w_motion: float
) -> Float[Tensor, " *shape"]:
    """Return the conditional prediction which makes stock CFG of scale s equal Eq. 8 with w1 = s − 1.

    u + w2/s·(u − u₀), put in place of u in `cfg`, gives `inner_guidance`.

    Args:
        u: Prediction u(x, d, y), any shape and float dtype.
        u_null_motion: Prediction u(x, 0, y).
        scale: s = 1 + w1 of the CFG that follows.
        w_motion: w2.
    """
    return u + w_motion / scale * (u - u_null_motion)


class Inner(Cfg):
    """Stock CFG of scale s = 1 + w1, whose conditional pass returns u + w2/s·(u − u₀)."""

    weights = ("w_text", "w_motion")
    branch = Branch(beside="cond")

    def combine(self, seen: Predictions, weights: Weights) -> Tensor:
        """Return ũ = u∅ + (1+w1)·(u − u∅) + w2·(u − u₀), Eq. 8."""
        if seen.branch is None:
            return super().combine(seen, weights)
        null_text = seen.u if seen.null_text is None else seen.null_text
        return inner_guidance(seen.u, null_text, seen.branch, weights.text, weights.motion)

    def returned(self, seen: Predictions, weights: Weights, scale: float) -> Tensor:
        """Return u + w2/s·(u − u₀)."""
        return seen.u if seen.branch is None else motion_guided(seen.u, seen.branch, scale, weights.motion)


RULE = Inner()
