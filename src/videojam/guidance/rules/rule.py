"""What a guidance rule says: its branches, the pipeline's scale, and how predictions are combined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

Pass = Literal["cond", "uncond"]
"""The two passes of stock CFG: with the prompt, and with the null text."""


class Weights(NamedTuple):
    """Weights of one step.

    Attributes:
        text: w1.
        motion: w2.
        auto: w of autoguidance.
    """

    text: float
    motion: float
    auto: float = 0.0


class Predictions(NamedTuple):
    """What the network predicted in one step, any shape.

    Attributes:
        u: u(x, d, y).
        null_text: u(x, d, ∅); None before that pass has run, and where there is none.
        branch: Of the rule's own branch; None outside of the window of motion guidance.
    """

    u: Tensor
    null_text: Tensor | None = None
    branch: Tensor | None = None


@dataclass(frozen=True)
class Branch:
    """A further forward in the window of motion guidance.

    Attributes:
        beside: The stock pass whose text it has, and whose result it changes.
        of: The same model with null motion, or a weaker model with the same input.
    """

    beside: Pass
    of: Literal["null motion", "weaker model"] = "null motion"


class Rule(ABC):
    """A guidance rule. Stock CFG computes u∅ + s·(u − u∅) of what its passes return; the rest is said here.

    Attributes:
        weights: Fields of `Guidance` that the rule reads, of w_text, w_motion and w_auto.
        branch: Its own branch; None for a rule without one.
        has_null_text: Whether the pass with the null text is part of it.
        needs_motion: Whether it has no meaning with d = 0 in every forward.
    """

    weights: tuple[str, ...] = ()
    branch: Branch | None = None
    has_null_text: bool = True
    needs_motion: bool = False

    @abstractmethod
    def scale(self, weights: Weights) -> float:
        """Return s, the guidance scale to give to the stock pipeline."""

    @abstractmethod
    def combine(self, seen: Predictions, weights: Weights) -> Tensor:
        """Return the guided prediction ũ; without its branch, ũ outside of the window."""

    def returned(self, seen: Predictions, weights: Weights, scale: float) -> Tensor:
        """Return what the pass that the rule acts on returns, so that CFG of scale s is `combine`.

        Args:
            seen: Predictions of the step up to this pass.
            weights: w1 and w2.
            scale: s of the pipeline in this step.
        """
        return seen.u

    @property
    def needs_weaker(self) -> bool:
        """Whether its branch is a weaker model."""
        return self.branch is not None and self.branch.of == "weaker model"

    @property
    def acts_on(self) -> Pass:
        """The pass whose result is changed."""
        return "cond" if self.branch is None else self.branch.beside

    def uses_branch(self, weights: Weights) -> bool:
        """Whether the branch changes anything with these weights."""
        return self.branch is not None and weights.motion != 0

    def weights_at(self, weights: Weights, scale: float) -> Weights:
        """Return the weights under a scale that the caller of the pipeline chose: s = 1 + w1 sets w1 = s − 1."""
        return weights if scale == self.scale(weights) else weights._replace(text=scale - 1)

    def added(
        self, seen: Predictions, returned: Tensor | None, weights: Weights, scale: float
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return what guidance by text and by motion added to u in a step, as far as its passes have run.

        Args:
            seen: Predictions of the step.
            returned: What the pass that the rule acts on returned to the pipeline; None if it is to come.
            weights: w1 and w2.
            scale: s of the pipeline in this step.
        """
        text = None if seen.null_text is None else weights.text * (seen.u - seen.null_text)
        return text, None if returned is None else scale * (returned - seen.u)
