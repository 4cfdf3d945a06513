"""Reusing what guidance added in a step for the steps after it, which then need one forward each."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class DeltaReuse:
    """Keeps what text and motion guidance added to u(x, d, y), and says when both are to be computed again.

    On a step that computes them, ũ = u + δ_text + δ_motion, and both are kept; on one that reuses them, only u
    is computed: ũ = u + δ_text + δ_motion of the last step that computed them. Outside of the window of motion
    guidance, δ_motion is left out. They are computed again on every n-th step, where motion guidance begins,
    and where another network takes over (mixtures of experts).

    Args:
        every: n; 1 reuses nothing.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.fresh = True
        """Whether the step at hand computes them."""
        self._text: Tensor | None = None
        self._motion: Tensor | None = None
        self._in_window = False
        self._last: tuple[int, bool, Any] | None = None

    def begin(self, step: int, in_window: bool, network: Any) -> bool:
        """Begin a step and return whether it computes what guidance adds; once for each step, in their order.

        Args:
            step: Number of the step.
            in_window: Whether motion guidance runs in it.
            network: The transformer that is in charge of it.
        """
        self._in_window = in_window
        self.fresh = not self._may_reuse(step, in_window, network)
        if self.fresh:
            self._last = (step, in_window, network)
            self._text = self._motion = None
        return self.fresh

    def _may_reuse(self, step: int, in_window: bool, network: Any) -> bool:
        if self._last is None:
            return False
        step_before, had_motion, network_before = self._last
        recent = step - step_before < self.every
        return recent and network_before is network and (had_motion or not in_window)

    def keep(self, text: Tensor | None, motion: Tensor | None) -> None:
        """Keep what text and motion guidance added in the step at hand."""
        self._text, self._motion = text, motion

    def guided(self, u: Tensor) -> Tensor:
        """Return u with what guidance added in the last step that computed it.

        Args:
            u: u(x, d, y) of the step at hand.
        """
        for delta in (self._text, self._motion if self._in_window else None):
            u = u if delta is None else u + delta
        return u
