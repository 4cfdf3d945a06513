"""The statistics against published examples, closed forms, and simulated raters of known preference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from videojam.study.simulate import Truth, simulate_votes
from videojam.study.statistics import (
    bradley_terry,
    krippendorff_alpha,
    majorities,
    strengths,
    two_way,
    vote_share,
    votes_needed,
)


def test_alpha_of_krippendorffs_own_example():
    """Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", C: nominal data, four observers, 0.743."""
    observers = [
        "1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 .",
    ]  # fmt: skip
    units = [[v for v in unit if v != "."] for unit in zip(*(row.split() for row in observers), strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_two_observers_binary():
    """The same paper, A: two observers, ten units, 0.095."""
    a, b = (
        ["0", "1", "0", "0", "0", "0", "0", "0", "1", "0"],
        ["1", "1", "1", "0", "0", "1", "0", "0", "0", "0"],
    )
    assert krippendorff_alpha(list(zip(a, b, strict=True))) == pytest.approx(0.095, abs=5e-4)
    assert krippendorff_alpha([(True, True), (False, False)]) == 1
    assert krippendorff_alpha([(True, True)]) is None
    assert krippendorff_alpha([(True,)]) is None


def test_votes_for_five_points():
    """z = 1.95996 and 0.84162: (0.97998 + 0.84162·√0.2475)²/0.0025 = 782.52, twice that for a design effect of 2."""
    assert votes_needed(0.05) == 783
    assert votes_needed(0.05, 2.0) == 1566
    assert votes_needed(0.12) == 134  # as many prompts for a rate of 0.62


def test_majorities_count_ties_apart():
    found = majorities({"a": [True, True, False], "b": [False], "c": [True, False], "d": [True]})
    assert (found.num_won, found.num_lost, found.num_tied) == (2, 1, 1)
    assert found.won.mean == pytest.approx(2 / 3)
    assert majorities({"a": [True, False]}).won is None


def test_bradley_terry_of_two_arms_is_the_log_odds():
    """
    Three wins to one, and half a win each more, are log(3.5 / 1.5) apart. The arms of a cycle are equal. Arms that
    never met have no strength.
    """
    s = bradley_terry(np.array([[0.0, 3], [1, 0]]))
    assert s[0] - s[1] == pytest.approx(math.log(3.5 / 1.5))
    assert np.allclose(bradley_terry(np.array([[0.0, 2, 1], [1, 0, 2], [2, 1, 0]])), 0)
    assert bradley_terry(np.zeros((3, 3))) is None
    assert np.isfinite(bradley_terry(np.array([[0.0, 9], [0, 0]]))).all()


def test_bradley_terry_recovers_strengths():
    truth, rng = {"a": 0.8, "b": 0.0, "c": -0.8}, np.random.default_rng(0)
    votes, prompts = [], []
    for prompt in range(100):
        for first, second in (("a", "b"), ("a", "c"), ("b", "c")):
            for _ in range(5):
                p = 1 / (1 + math.exp(truth[second] - truth[first]))
                votes.append((first, second, bool(rng.random() < p)))
                prompts.append(prompt)
    found = strengths(votes, prompts, list(truth))
    for arm, value in truth.items():
        assert found[arm].low < value < found[arm].high
        assert found[arm].high - found[arm].low < 0.5


def test_two_way_interval_of_independent_votes_is_close_to_wilsons_and_wider_when_raters_differ():
    rng = np.random.default_rng(1)
    prompts, raters = [i // 5 for i in range(1000)], [i % 50 for i in range(1000)]
    alike = vote_share((rng.random(1000) < 0.6).tolist(), prompts, raters)
    assert alike.both.high - alike.both.low == pytest.approx(alike.wilson.high - alike.wilson.low, rel=0.3)
    taste = rng.random(50) < 0.6
    apart = vote_share([bool(taste[r]) for r in raters], prompts, raters)
    assert apart.both.high - apart.both.low > 3 * (apart.wilson.high - apart.wilson.low)
    assert apart.design_effect > 10


def test_votes_that_all_agree_have_an_interval():
    found, _ = two_way(np.ones(20), [i // 5 for i in range(20)], [i % 5 for i in range(20)])
    assert (found.mean, found.high) == (1, pytest.approx(1))
    assert found.low == pytest.approx(0.5101, abs=1e-4)  # Wilson's of 4 of 4


def test_simulated_raters_are_recovered():
    """Known preference, lapses and side bias; benchmarks/study_coverage.py measures the coverage of 500 runs."""
    truth = Truth(preference=0.7, lapse=0.1, side=0.5)
    covered = []
    for seed in range(20):
        votes = simulate_votes(truth, num_prompts=40, num_raters=20, per_pair=5, seed=seed)
        found = vote_share([v.first_won for v in votes], [v.prompt for v in votes], [v.rater for v in votes])
        covered.append(found.both.low <= truth.share < found.both.high)
        left = np.mean([v.first_won == v.first_is_left for v in votes])
        assert left == pytest.approx(truth.left_share, abs=0.15)
    assert sum(covered) >= 17  # 19 expected; fewer than 17 has a probability of 1.6 % at 95 %
