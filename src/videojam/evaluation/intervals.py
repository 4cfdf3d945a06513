"""Intervals: of a share of successes, and of a difference between two methods on the same prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95
"""Coverage of every interval."""
NUM_RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        mean: The estimate.
        low: Lower end.
        high: Upper end.
        n: Number of clips, or of pairs, that it comes from.
    """

    mean: float
    low: float
    high: float
    n: int


def share(num_successes: int, n: int) -> Interval:
    """Return a share of successes with its Wilson score interval (Wilson 1927).

    Args:
        num_successes: 0..n.
        n: Trials, at least 1.

    Raises:
        ValueError: counts that can't be.
    """
    ends = stats.binomtest(num_successes, n).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Interval(num_successes / n, float(ends.low), float(ends.high), n)


def paired_difference(
    a: ArrayLike, b: ArrayLike, seed: int = 0, num_resamples: int = NUM_RESAMPLES
) -> Interval:
    """Return mean(a − b) with its percentile bootstrap interval over pairs.

    The pairs are resampled together, so that what makes a prompt hard for both methods drops out.

    Args:
        a: One value for each prompt, `[n]`; bool counts as 0 and 1.
        b: The other method's, in the same order.
        seed: Of the resampling.
        num_resamples: Bootstrap samples.

    Raises:
        ValueError: other lengths, fewer than two pairs, or values that aren't finite.
    """
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if np.shape(a) != np.shape(b) or differences.ndim != 1 or len(differences) < 2:
        raise ValueError(f"expected two lists of equal length ≥ 2, found {np.shape(a)} and {np.shape(b)}")
    if not np.isfinite(differences).all():
        raise ValueError("expected finite values, found NaN or infinity")
    return bootstrap_mean(differences, seed, num_resamples)


def bootstrap_mean(
    values: NDArray[np.float64], seed: int = 0, num_resamples: int = NUM_RESAMPLES
) -> Interval:
    """Return a mean with its percentile bootstrap interval.

    Args:
        values: `[n]`, at least two, not all alike or the interval has no width.
        seed: Of the resampling.
        num_resamples: Bootstrap samples.
    """
    return _bootstrap((values,), np.mean, seed, num_resamples)


def ratio_of_sums(
    part: NDArray[np.float64],
    whole: NDArray[np.float64],
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """Return Σ part / Σ whole with its percentile bootstrap interval over clips.

    Args:
        part: `[n]`, at least two.
        whole: `[n]`, the same clips in the same order; resampled together with `part`.
        seed: Of the resampling.
        num_resamples: Bootstrap samples.
    """

    def ratio(part: NDArray[np.float64], whole: NDArray[np.float64], axis: int = -1) -> Any:
        return part.sum(axis) / whole.sum(axis)

    return _bootstrap((part, whole), ratio, seed, num_resamples)


def _bootstrap(
    samples: tuple[NDArray[np.float64], ...],
    statistic: Callable[..., Any],
    seed: int,
    num_resamples: int,
) -> Interval:
    """A statistic of samples `[n]` with its percentile bootstrap interval; several are resampled together."""
    ends = stats.bootstrap(
        samples,
        statistic,
        paired=len(samples) > 1,
        vectorized=True,
        n_resamples=num_resamples,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(statistic(*samples)), float(ends.low), float(ends.high), len(samples[0]))
