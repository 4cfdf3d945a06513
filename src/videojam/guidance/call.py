"""One call of a pipeline under the hook: which step it is in, and what its passes predicted and return."""

from __future__ import annotations

import math

from torch import Tensor

from videojam.families import Family
from videojam.families.stock import Pipeline, Transformer
from videojam.guidance.config import Guidance
from videojam.guidance.halves import Halves
from videojam.guidance.lead import motion_time
from videojam.guidance.reuse import DeltaReuse
from videojam.guidance.rules.rule import Pass, Predictions
from videojam.guidance.trace import GuidanceTrace


class GuidedCall:
    """State of one call of a pipeline; the next call has one of its own.

    Args:
        pipe: Stock pipeline, its timesteps set.
        family: Its family.
        config: How to guide.
        scale: The pipeline's guidance scale in the first step.
    """

    def __init__(self, pipe: Pipeline, family: Family, config: Guidance, scale: float) -> None:
        self.config, self.rule = config, config.rule
        self.timesteps = pipe.scheduler.timesteps
        times = family.paper_times(pipe.scheduler).tolist()
        self.motion_times = [motion_time(t, config.lead) for t in times]
        """Where d is at the start of each step."""
        mixtures = [family.mixture(1 - t_d) for t_d in self.motion_times]
        self.trace = GuidanceTrace(times=times, mixtures=mixtures)
        self.stacked = family.stacks_passes(pipe, scale)
        """Whether a pass carries the batch [unconditional, conditional]."""
        self.reuse = DeltaReuse(config.reuse_every)
        self.beside_added: tuple[Tensor, ...] = ()
        """What the last fresh step's text changed in what the network predicts beside the latents (sound)."""
        self._active = set(config.window.steps(times)) if config.uses_motion_branch else set()
        self._step, self._num_clips = -1, 1
        self._seen: Predictions | None = None
        self._returned: Tensor | None = None

    @property
    def in_window(self) -> bool:
        """Whether motion guidance runs in the step."""
        return self._step in self._active

    def begin_step(self, module: Transformer, scale: float, hidden: Tensor, halves: Halves | None) -> None:
        """Begin a step, at its first pass.

        Args:
            module: The transformer in charge.
            scale: The pipeline's guidance scale in this step.
            hidden: The transformer's input, of the conditional rows.
            halves: Of the transformer's channels; None for a base.
        """
        self._step += 1
        self._scale, self._weights = scale, self.rule.weights_at(self.config.weights, scale)
        self._num_clips = len(hidden)
        self._seen = self._returned = None
        self.reuse.begin(self._step, self.in_window, module)
        if self.in_window:
            self.trace.motion_steps.append(self._step)
        if halves is None:
            return
        d = halves.motion(hidden)
        d = d[d != 0].float()  # where the first frame is given, d is null there and not noise
        self.trace.std_d.append(d.std().item() if d.numel() > 1 else math.nan)

    @property
    def motion_time(self) -> float:
        """Where d is in the step at hand, in the paper's time."""
        return self.motion_times[self._step]

    def count(self, num_rows: int) -> None:
        """Count a forward of a batch with so many rows."""
        self.trace.num_forwards += 1
        self.trace.num_evaluations += num_rows // self._num_clips

    def needs_branch(self, name: Pass) -> bool:
        """Whether the rule's branch runs beside a pass of this step."""
        return self.reuse.fresh and self.in_window and (self.stacked or name == self.rule.acts_on)

    def returned(self, name: Pass, u: Tensor, branch: Tensor | None, halves: Halves | None) -> Tensor:
        """Return what a pass gives to the pipeline, so that its own CFG is the guidance asked for.

        Args:
            name: The pass.
            u: Its prediction.
            branch: Prediction of the rule's branch, if it ran beside this pass.
            halves: Of the transformer's channels; None for a base.
        """
        if name == "cond":
            self._seen = Predictions(u)
        else:
            assert self._seen is not None  # the conditional pass comes first
            self._seen = self._seen._replace(null_text=u)
        if name == self.rule.acts_on:
            u = self._returned = self._acted(self._seen, branch, halves)
        if self.reuse.every > 1:
            self.reuse.keep(*self.rule.added(self._seen, self._returned, self._weights, self._scale))
        return u

    def _acted(self, seen: Predictions, branch: Tensor | None, halves: Halves | None) -> Tensor:
        """Return what the rule makes of the pass that it acts on."""
        plain = self.rule.returned(seen, self._weights, self._scale)
        if branch is None:
            return plain
        guided = self.rule.returned(seen._replace(branch=branch), self._weights, self._scale)
        return halves.join(guided, plain) if halves and self.config.motion_on == "appearance" else guided
