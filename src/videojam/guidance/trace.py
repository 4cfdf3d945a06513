"""What guidance did in one call of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class GuidanceTrace:
    """What happened in one call of a pipeline.

    Attributes:
        times: The paper's t at which each step starts.
        motion_steps: Steps with a motion branch.
        num_forwards: Calls of the transformer, a batched branch counting once; 0 for a base (no hook).
        num_evaluations: Evaluations of the network for each clip, batched or not: the cost of guidance. Plain
            CFG has two a step; 0 for a base (no hook).
        std_d: Standard deviation of the noised motion latent at the start of each step.
        mixtures: (a, b) of d_σ = a·d + b·ε at the start of each step.
    """

    times: list[float] = field(default_factory=list)
    motion_steps: list[int] = field(default_factory=list)
    num_forwards: int = 0
    num_evaluations: int = 0
    std_d: list[float] = field(default_factory=list)
    mixtures: list[tuple[float, float]] = field(default_factory=list)

    def expected_std_d(self, motion_std: float = 1.0) -> list[float]:
        """Return sqrt((a·s)² + b²), what std(d_t) is for clean motion latents of deviation s."""
        return [((a * motion_std) ** 2 + b**2) ** 0.5 for a, b in self.mixtures[: len(self.std_d)]]
