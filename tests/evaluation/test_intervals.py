"""Intervals against published values and their own promise: coverage."""

from __future__ import annotations

import numpy as np
import pytest

from videojam.evaluation.intervals import paired_difference, share


def test_wilson_interval_of_a_share():
    # z² = 3.8415: centre (p + z²/2n)/(1 + z²/n), half width z·sqrt(p(1-p)/n + z²/4n²)/(1 + z²/n).
    interval = share(8, 10)
    assert (interval.mean, interval.n) == (0.8, 10)
    assert interval.low == pytest.approx(0.49016, abs=1e-5)
    assert interval.high == pytest.approx(0.94332, abs=1e-5)


@pytest.mark.parametrize(("good", "n", "low", "high"), [(0, 10, 0, 0.27753), (10, 10, 0.72247, 1)])
def test_wilson_interval_at_the_ends_has_a_width(good, n, low, high):
    interval = share(good, n)
    assert interval.low == pytest.approx(low, abs=1e-5)
    assert interval.high == pytest.approx(high, abs=1e-5)


def test_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="n"):
        share(0, 0)


def test_pairs_cancel_what_they_share():
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=200) * 10
    a, b = difficulty + 0.5 + 0.1 * rng.normal(size=200), difficulty
    interval = paired_difference(a, b, seed=1)
    assert interval.mean == pytest.approx(0.5, abs=0.03)
    assert interval.low < 0.5 < interval.high
    # Percentile interval of a mean: 2·1.96·σ/√n = 0.0277 wide; unpaired it would be near 4.
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(200), rel=0.15)


def test_a_seed_repeats_and_booleans_count():
    a, b = [True, True, False, True, False], [False, True, False, False, False]
    assert paired_difference(a, b, seed=3) == paired_difference(a, b, seed=3)
    assert paired_difference(a, b).mean == pytest.approx(0.4)
    assert paired_difference(a, a) == paired_difference(b, b)


def test_coverage_is_near_its_level():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(200):
        a, b = rng.random(64) < 0.6, rng.random(64) < 0.4
        interval = paired_difference(a, b, num_resamples=400)
        hits += interval.low <= 0.2 <= interval.high
    assert 0.88 <= hits / 200 <= 0.99


@pytest.mark.parametrize(("a", "b"), [([1, 2], [1]), ([1], [1]), ([1, np.nan], [0, 0])])
def test_what_is_no_pairing_is_refused(a, b):
    with pytest.raises(ValueError, match="expected"):
        paired_difference(a, b)
