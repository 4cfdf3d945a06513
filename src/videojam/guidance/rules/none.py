"""No guidance: the network's own prediction."""

from __future__ import annotations

from torch import Tensor

from videojam.guidance.rules.rule import Predictions, Rule, Weights


class NoGuidance(Rule):
    """Scale 1, at which stock pipelines run the conditional pass only."""

    has_null_text = False

    def scale(self, weights: Weights) -> float:
        """Return 1."""
        return 1.0

    def combine(self, seen: Predictions, weights: Weights) -> Tensor:
        """Return u."""
        return seen.u


RULE = NoGuidance()
