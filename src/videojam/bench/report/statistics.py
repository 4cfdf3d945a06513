"""Intervals of arms and of differences between them, over prompts; scipy does the arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from videojam.evaluation.intervals import Interval, bootstrap_mean, paired_difference, share

NUM_FLIPS = 9_999
MANY = 50
"""Differences from which on the t test's p is the sign-flip test's to two digits, in a thousandth of the time."""


@dataclass(frozen=True)
class Comparison:
    """One arm against another on the clips that both have.

    Attributes:
        arm: The arm.
        against: The other one.
        difference: mean(arm − against) over prompts, with its paired bootstrap interval.
        effect: Cohen's d of pairs, mean difference over the deviation of differences; None where they are equal.
        wins: Prompts on which the arm is higher.
        losses: Prompts on which it is lower.
        p: Two-sided: McNemar's exact test of a share at one seed, else a sign-flip test of the mean difference, or
            from 50 prompts on a paired t test.
        p_holm: Corrected by Holm's method for the number of arms compared.
    """

    arm: str
    against: str
    difference: Interval
    effect: float | None
    wins: int
    losses: int
    p: float
    p_holm: float


def by_prompt(values: Mapping[str, float]) -> dict[str, float]:
    """Return the mean over seeds of each prompt, from values by clip (PROMPT_sSEED)."""
    seeds: dict[str, list[float]] = {}
    for clip, value in values.items():
        seeds.setdefault(clip.rpartition("_s")[0], []).append(value)
    return {prompt: float(np.mean(found)) for prompt, found in seeds.items()}


def mean_interval(values: Mapping[str, float], is_share: bool) -> Interval | None:
    """Return the mean over prompts with its interval; None without values.

    Prompts are resampled, not clips: several seeds of one prompt are no independent evidence. A share of successes
    gets Wilson's interval, since resampling says nothing where all are alike.

    Args:
        values: By clip.
        is_share: Whether each value is 1 (success) or 0.
    """
    means = np.array(list(by_prompt(values).values()))
    if len(means) == 0:
        return None
    if is_share and np.isin(means, (0, 1)).all():
        return share(int(means.sum()), len(means))
    if len(means) == 1 or np.ptp(means) == 0:
        return Interval(float(means.mean()), float(means.min()), float(means.max()), len(means))
    return bootstrap_mean(means)


def compare(
    values: Mapping[str, Mapping[str, float]],
    against: str,
    arms: Sequence[str],
    is_share: bool = False,
) -> list[Comparison]:
    """Compare arms with one of them on a measure, each on the clips that both have.

    Args:
        values: By arm, then by clip.
        against: The arm that the others are compared with.
        arms: The others, in order; an arm with fewer than two prompts in common is left out.
        is_share: Whether each value is 1 (success) or 0, by the kind of the measure.
    """
    found: list[Comparison] = []
    for arm in arms:
        ours, theirs = values.get(arm, {}), values.get(against, {})
        common = [clip for clip in ours if clip in theirs]
        a, b = (np.array(list(by_prompt({c: v[c] for c in common}).values())) for v in (ours, theirs))
        if arm == against or len(a) < 2:
            continue
        d = a - b
        spread = float(d.std(ddof=1))
        found.append(
            Comparison(
                arm=arm,
                against=against,
                difference=paired_difference(a, b),
                effect=float(d.mean()) / spread if spread > 0 else None,
                wins=int((d > 0).sum()),
                losses=int((d < 0).sum()),
                p=_p_value(d, is_share),
                p_holm=1.0,
            )
        )
    corrected = holm([comparison.p for comparison in found])
    return [replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number (Holm 1979): the family-wise error stays at its level."""
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected.tolist()


def _p_value(d: NDArray[np.float64], is_share: bool) -> float:
    """Test whether the mean difference is zero, by the signs that differences might have had."""
    if not d.any():
        return 1.0
    if is_share and np.isin(d, (-1, 0, 1)).all():  # several seeds of a prompt give values in between
        return float(stats.binomtest(int((d > 0).sum()), int((d != 0).sum())).pvalue)
    if len(d) >= MANY:
        return float(stats.ttest_1samp(d, 0).pvalue) if np.ptp(d) > 0 else 0.0
    result = stats.permutation_test(
        (d,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=NUM_FLIPS,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)
