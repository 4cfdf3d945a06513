"""Raters of known preference, lapse rate and side bias, to see whether the report recovers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

NUM_NODES = 41


class SimulatedVote(NamedTuple):
    """One vote.

    Attributes:
        prompt: Number.
        rater: Number.
        first_won: Whether the first arm won.
        first_is_left: Whether it was on the left.
    """

    prompt: int
    rater: int
    first_won: bool
    first_is_left: bool


@dataclass(frozen=True)
class Truth:
    """What the votes are drawn from.

    P(first wins) = lapse/2 + (1 − lapse)·σ(logit(preference) + prompt + rater ± side), with a normal deviate for each
    prompt and each rater, and + where the first is on the left.

    Attributes:
        preference: Of a rater without deviates on a prompt without them.
        lapse: Share of votes that are a guess.
        side: Log odds for the left.
        prompt_sd: Standard deviation of prompts, in log odds.
        rater_sd: Standard deviation of raters, in log odds.
    """

    preference: float = 0.65
    lapse: float = 0.05
    side: float = 0.3
    prompt_sd: float = 0.8
    rater_sd: float = 0.3

    @property
    def share(self) -> float:
        """The share of votes for the first arm, over all prompts, raters and sides."""
        return float(np.mean([self._expected(+1), self._expected(-1)]))

    @property
    def left_share(self) -> float:
        """The share of votes for the left."""
        return float(np.mean([self._expected(+1), 1 - self._expected(-1)]))

    def _expected(self, sign: int) -> float:
        nodes, weights = np.polynomial.hermite_e.hermegauss(NUM_NODES)
        spread = np.hypot(self.prompt_sd, self.rater_sd)
        p = special.expit(special.logit(self.preference) + sign * self.side + spread * nodes)
        return float(self.lapse / 2 + (1 - self.lapse) * (weights * p).sum() / weights.sum())


def simulate_votes(
    truth: Truth, num_prompts: int = 128, num_raters: int = 20, per_pair: int = 5, seed: int = 0
) -> list[SimulatedVote]:
    """Draw the votes of a balanced study: each pair by so many different raters, sides at random.

    Args:
        truth: What they are drawn from.
        num_prompts: One pair each.
        num_raters: All of them rate as many pairs, up to one.
        per_pair: Raters of a pair, at most `num_raters`.
        seed: Of everything.
    """
    rng = np.random.default_rng(seed)
    prompts = rng.normal(0, truth.prompt_sd, num_prompts)
    raters = rng.normal(0, truth.rater_sd, num_raters)
    votes = []
    for prompt in range(num_prompts):
        start = prompt * per_pair
        for rater in ((start + i) % num_raters for i in range(per_pair)):
            is_left = bool(rng.random() < 0.5)
            logit = special.logit(truth.preference) + prompts[prompt] + raters[rater]
            p = special.expit(logit + (truth.side if is_left else -truth.side))
            won = rng.random() < (0.5 if rng.random() < truth.lapse else p)
            votes.append(SimulatedVote(prompt, rater, bool(won), is_left))
    return votes
