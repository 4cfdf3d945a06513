"""Reusing what guidance added in a step for the steps after it, which then need one forward each."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class DeltaReuse:
    """Keeps what text and motion guidance added to u(x, d, y), and says when both are to be computed anew.

    On a step that computes them, ũ = u + δ_text + δ_motion, and both are kept; on one that reuses them, only u
    is computed: ũ = u + δ_text + δ_motion of the last step that computed them. Outside of the window of motion
    guidance, δ_motion is left out. They are computed anew on every n-th step, where motion guidance begins,
    and where another network takes over (mixtures of experts).

    Args:
        every: n; 1 reuses nothing.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.text: Tensor | None = None
        self.motion: Tensor | None = None
        self._last: tuple[int, bool, Any] | None = None

    def is_fresh(self, step: int, in_window: bool, network: Any) -> bool:
        """Return whether a step computes what guidance adds; asked once for each step, in their order.

        Args:
            step: Number of the step.
            in_window: Whether motion guidance runs in it.
            network: The transformer that is in charge of it.
        """
        if self._last is not None:
            step_before, had_motion, same = self._last[0], self._last[1], self._last[2] is network
            if step - step_before < self.every and same and (had_motion or not in_window):
                return False
        self._last = (step, in_window, network)
        self.text = self.motion = None
        return True

    def guided(self, u: Tensor, in_window: bool) -> Tensor:
        """Return u with what guidance added in the last step that computed it.

        Args:
            u: u(x, d, y) of the step at hand.
            in_window: Whether motion guidance runs in it.
        """
        for delta in (self.text, self.motion if in_window else None):
            u = u if delta is None else u + delta
        return u
