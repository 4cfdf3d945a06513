"""The guidance formulas as pure functions of predictions; sign-free, since the coefficients sum to 1."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def cfg(
    u: Float[Tensor, "*shape"], u_null_text: Float[Tensor, "*shape"], w_text: float
) -> Float[Tensor, "*shape"]:
    """Classifier-free guidance in the paper's scale: ũ = u∅ + (1+w1)·(u − u∅).

    Args:
        u: Prediction u(x, d, y), any shape and float dtype.
        u_null_text: Prediction u(x, d, ∅).
        w_text: w1 ≥ 0; diffusers' guidance scale is 1 + w1.
    """
    return u_null_text + (1 + w_text) * (u - u_null_text)


def inner_guidance(
    u: Float[Tensor, "*shape"],
    u_null_text: Float[Tensor, "*shape"],
    u_null_motion: Float[Tensor, "*shape"],
    w_text: float,
    w_motion: float,
) -> Float[Tensor, "*shape"]:
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
    u: Float[Tensor, "*shape"], u_null_motion: Float[Tensor, "*shape"], w_text: float, w_motion: float
) -> Float[Tensor, "*shape"]:
    """Return the conditional prediction which makes stock CFG of scale 1 + w1 equal Eq. 8.

    u + w2/(1+w1)·(u − u₀), put in place of u in `cfg`, gives `inner_guidance`.

    Args:
        u: Prediction u(x, d, y), any shape and float dtype.
        u_null_motion: Prediction u(x, 0, y).
        w_text: w1 of the CFG that follows.
        w_motion: w2.
    """
    return u + w_motion / (1 + w_text) * (u - u_null_motion)


def ip2p(
    u: Float[Tensor, "*shape"],
    u_null_text: Float[Tensor, "*shape"],
    u_null_both: Float[Tensor, "*shape"],
    w_text: float,
    w_motion: float,
) -> Float[Tensor, "*shape"]:
    """InstructPix2Pix guidance, an ablation of the paper (Table 3).

    ũ = u(x,0,∅) + w2·(u(x,d,∅) − u(x,0,∅)) + w1·(u(x,d,y) − u(x,d,∅)).

    Args:
        u: Prediction u(x, d, y), any shape and float dtype.
        u_null_text: Prediction u(x, d, ∅).
        u_null_both: Prediction u(x, 0, ∅).
        w_text: w1.
        w_motion: w2.
    """
    return u_null_both + w_motion * (u_null_text - u_null_both) + w_text * (u - u_null_text)
