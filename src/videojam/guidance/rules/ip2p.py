"""InstructPix2Pix guidance, an ablation of the paper (Table 3).

Its w1 and w2 are absolute scales, not weights beside 1: where Eq. 8 and CFG guide by 1 + w1, this rule guides by w1,
and w2 < 1 is negative motion guidance. As strong as Eq. 8 with (w1, w2) is this rule with (1 + w1, 1 + w2).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from videojam.errors import VideoJamError
from videojam.guidance.rules.rule import Branch, Predictions, Rule, Weights


def ip2p(
    u: Float[Tensor, " *shape"],
    u_null_text: Float[Tensor, " *shape"],
    u_null_both: Float[Tensor, " *shape"],
    w_text: float,
    w_motion: float,
) -> Float[Tensor, " *shape"]:
    """InstructPix2Pix guidance, an ablation of the paper (Table 3).

    ũ = u(x,0,∅) + w2·(u(x,d,∅) − u(x,0,∅)) + w1·(u(x,d,y) − u(x,d,∅)).

    Args:
        u: Prediction u(x, d, y), any shape and float dtype.
        u_null_text: Prediction u(x, d, ∅).
        u_null_both: Prediction u(x, 0, ∅).
        w_text: w1, an absolute scale: 1 is no text guidance.
        w_motion: w2, an absolute scale: 1 is no motion guidance.
    """
    return u_null_both + w_motion * (u_null_text - u_null_both) + w_text * (u - u_null_text)


class Ip2p(Rule):
    """Stock CFG of scale s = 2, whose unconditional pass returns 2u − ũ: u' + 2·(u − u') of it is ũ."""

    weights = ("w_text", "w_motion")
    branch = Branch(beside="uncond")
    needs_motion = True

    def scale(self, weights: Weights) -> float:
        """Return 2, for any weights."""
        return 2.0

    def combine(self, seen: Predictions, weights: Weights) -> Tensor:
        """Return ũ; without the branch its motion term cancels."""
        assert seen.null_text is not None
        null_both = seen.null_text if seen.branch is None else seen.branch
        return ip2p(seen.u, seen.null_text, null_both, weights.text, weights.motion)

    def returned(self, seen: Predictions, weights: Weights, scale: float) -> Tensor:
        """Return 2u − ũ."""
        return 2 * seen.u - self.combine(seen, weights)

    def uses_branch(self, weights: Weights) -> bool:
        """Always: w2 = 0 takes the motion away, and 1 is no guidance by it."""
        return True

    def weights_at(self, weights: Weights, scale: float) -> Weights:
        """Return the weights as they are, and refuse another scale than 2."""
        if scale != self.scale(weights):
            raise VideoJamError(
                expected="guidance_scale = 2 in the pipeline's call, as the rule ip2p needs",
                found=f"{scale:g}",
                where="the pipeline under the guidance hook",
                fix="Call it with guidance_scale=pipeline_scale(config), and leave guidance_scale_2 out.",
            )
        return weights

    def added(
        self, seen: Predictions, returned: Tensor | None, weights: Weights, scale: float
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return what guidance by text and by motion added to u, once the unconditional pass has run."""
        if returned is None:
            return None, None
        text = self.combine(seen._replace(branch=None), weights) - seen.u
        return text, seen.u - returned - text


RULE = Ip2p()
