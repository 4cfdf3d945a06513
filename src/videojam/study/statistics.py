"""What votes say: shares with intervals, majorities, agreement, side bias, Bradley–Terry, power."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from videojam.evaluation.intervals import LEVEL, Interval, ratio_of_sums, share

POWER = 0.8
NUM_RESAMPLES = 2_000
Groups = Sequence[Hashable]


@dataclass(frozen=True)
class Shares:
    """A share of votes with the intervals of different sources of chance.

    Attributes:
        both: Prompts and raters are both samples (two-way cluster-robust): the one to quote.
        prompts: Bootstrap over prompts; the raters are these raters.
        raters: Bootstrap over raters; the prompts are these prompts.
        wilson: As if each vote were independent of all others; too narrow when they are not.
        design_effect: Variance of `both` over that of independent votes.
    """

    both: Interval
    prompts: Interval | None
    raters: Interval | None
    wilson: Interval
    design_effect: float


@dataclass(frozen=True)
class Majorities:
    """Pairs by the majority of their votes.

    Attributes:
        won: Share of pairs won, of those that are decided, with Wilson's interval; None if none is.
        num_won: Pairs that the arm wins.
        num_lost: Pairs that it loses.
        num_tied: Pairs with as many votes for as against.
    """

    won: Interval | None
    num_won: int
    num_lost: int
    num_tied: int


def vote_share(wins: Sequence[bool], prompts: Groups, raters: Groups) -> Shares:
    """Return the share of votes won, with its intervals.

    Args:
        wins: One for each vote, at least one.
        prompts: Whose pair each vote is on.
        raters: Whose vote it is.
    """
    y = np.asarray(wins, dtype=np.float64)
    both, effect = two_way(y, prompts, raters)
    return Shares(both, _over(y, prompts), _over(y, raters), share(int(y.sum()), len(y)), effect)


def two_way(y: NDArray[np.float64], prompts: Groups, raters: Groups) -> tuple[Interval, float]:
    """Return a mean with the interval that allows for prompts and raters both, and the design effect.

    V = V_prompts + V_raters − V_votes (Cameron, Gelbach and Miller 2011), at least the larger of the first two, on
    the scale of log odds with Student's t of the smaller number of clusters minus one. Where all votes agree, the
    interval is Wilson's with a vote a prompt.

    Args:
        y: `[n]`, 0 or 1.
        prompts: Cluster of each value.
        raters: The other cluster of each value.
    """
    n, mean = len(y), float(y.mean())
    num_prompts, num_raters = len(set(prompts)), len(set(raters))
    if mean in (0.0, 1.0) or min(num_prompts, num_raters) < 2:
        k = num_prompts if mean in (0.0, 1.0) else n
        ends = share(round(mean * k), k)
        return Interval(mean, ends.low, ends.high, n), 1.0
    by_prompt, by_rater = (_cluster_variance(y, groups) for groups in (prompts, raters))
    single = _cluster_variance(y, range(n))
    variance = max(by_prompt + by_rater - single, by_prompt, by_rater, 1e-12)
    t = stats.t.ppf((1 + LEVEL) / 2, min(num_prompts, num_raters) - 1)
    middle, half = math.log(mean / (1 - mean)), t * math.sqrt(variance) / (mean * (1 - mean))
    low, high = (1 / (1 + math.exp(-min(500.0, max(-500.0, end)))) for end in (middle - half, middle + half))
    return Interval(mean, low, high, n), variance / (mean * (1 - mean) / n)


def majorities(wins: Mapping[Hashable, Sequence[bool]]) -> Majorities:
    """Count pairs by the majority of their votes.

    Args:
        wins: Votes by pair.
    """
    margins = [2 * sum(votes) - len(votes) for votes in wins.values()]
    won, lost = sum(m > 0 for m in margins), sum(m < 0 for m in margins)
    return Majorities(share(won, won + lost) if won + lost else None, won, lost, len(margins) - won - lost)


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Return Krippendorff's α for nominal values: 1 is full agreement, 0 is chance (Krippendorff 2011).

    α = 1 − D_observed/D_expected. Units with fewer than two values can't be compared and are left out.

    Args:
        units: The values that each unit was given, by whoever gave them.

    Returns:
        None where there is nothing to compare, or only one value in all.
    """
    paired = [values for values in units if len(values) > 1]
    names = sorted({value for values in paired for value in values}, key=repr)
    if len(names) < 2:
        return None
    counts = np.array([[list(values).count(name) for name in names] for values in paired], dtype=np.float64)
    sizes, totals = counts.sum(1), counts.sum(0)
    n = totals.sum()
    observed = ((sizes**2 - (counts**2).sum(1)) / (sizes - 1)).sum() / n
    expected = (n**2 - (totals**2).sum()) / (n * (n - 1))
    return float(1 - observed / expected)


def bradley_terry(wins: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return log strengths of arms (Bradley and Terry 1952), with mean 0: P(i beats j) = 1/(1 + e^(s_j − s_i)).

    Every two arms that were compared get half a win each more, so that an arm that wins all has a finite strength.

    Args:
        wins: `[k, k]`: how often the arm of the row beat that of the column.

    Returns:
        `[k]`; None where the comparisons don't tie all arms together.
    """
    k = len(wins)
    compared = (wins + wins.T) > 0
    reached = np.linalg.matrix_power(compared.astype(np.float64) + np.eye(k), k) > 0
    if not reached.all():
        return None
    w = wins + 0.5 * compared
    n, s = w + w.T, np.zeros(k)
    for _ in range(100):  # Newton's method; the likelihood is concave
        p = 1 / (1 + np.exp(s[None, :] - s[:, None]))
        gradient = (w - n * p).sum(1)
        weights = n * p * (1 - p)
        hessian = np.diag(weights.sum(1)) - weights
        step = np.linalg.solve(hessian + np.ones((k, k)) / k, gradient)
        s = s + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    return s - s.mean()


def strengths(
    votes: Sequence[tuple[str, str, bool]], prompts: Groups, arms: Sequence[str]
) -> dict[str, Interval] | None:
    """Return the Bradley–Terry log strength of each arm with its bootstrap interval over prompts.

    Args:
        votes: First arm, second arm, and whether the first won.
        prompts: Whose pair each vote is on; what is resampled.
        arms: In the order of the result.

    Returns:
        None where the comparisons don't tie all arms together.
    """
    places, numbers = {arm: i for i, arm in enumerate(arms)}, _numbered(prompts)
    tables = np.zeros((max(numbers) + 1, len(arms), len(arms)))
    for (first, second, won), prompt in zip(votes, numbers, strict=True):
        i, j = places[first], places[second]
        tables[prompt][(i, j) if won else (j, i)] += 1
    total = tables.sum(0)
    whole = bradley_terry(total)
    if whole is None:
        return None
    rng, found = np.random.default_rng(0), []
    for _ in range(NUM_RESAMPLES // 4):
        weights = np.bincount(rng.integers(len(tables), size=len(tables)), minlength=len(tables))
        one = bradley_terry(np.tensordot(weights.astype(np.float64), tables, 1))
        if one is not None:
            found.append(one)
    low, high = (np.quantile(np.array(found), q, axis=0) for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    played = [int((total[i] + total[:, i]).sum()) for i in range(len(arms))]
    return {
        arm: Interval(float(whole[i]), float(low[i]), float(high[i]), played[i]) for i, arm in enumerate(arms)
    }


def votes_needed(difference: float, design_effect: float = 1.0) -> int:
    """Return how many votes show that a share of 0.5 + difference is not 0.5, with a power of 80 %.

    n = ((z_{α/2}·½ + z_β·√(p(1 − p)))/difference)² · design effect.

    Args:
        difference: From one half, in 0..0.5.
        design_effect: Of clustered votes.
    """
    p = 0.5 + difference
    z_alpha, z_beta = float(stats.norm.ppf((1 + LEVEL) / 2)), float(stats.norm.ppf(POWER))
    return math.ceil(design_effect * ((z_alpha / 2 + z_beta * math.sqrt(p * (1 - p))) / difference) ** 2)


def _cluster_variance(y: NDArray[np.float64], groups: Groups) -> float:
    """V = G/(G − 1) · Σ_g (Σ_{i in g} (y_i − ȳ))² / n²."""
    numbers = np.array(_numbered(groups))
    sums = np.bincount(numbers, weights=y - y.mean())
    return float(len(sums) / (len(sums) - 1) * (sums**2).sum() / len(y) ** 2)


def _over(y: NDArray[np.float64], groups: Groups) -> Interval | None:
    numbers = np.array(_numbered(groups))
    if numbers.max() < 1:
        return None
    won = np.bincount(numbers, weights=y).astype(np.float64)
    cast = np.bincount(numbers).astype(np.float64)
    if np.ptp(won / cast) == 0:  # resampling says nothing where all are alike
        return None
    return ratio_of_sums(won, cast, num_resamples=NUM_RESAMPLES)


def _numbered(groups: Groups) -> list[int]:
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(group, len(numbers)) for group in groups]
