"""Statistics of the bench, against numbers worked out by hand and known distributions."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats

from videojam.bench.report.statistics import by_prompt, compare, holm, mean_interval


def clips(values, seed=0):
    return {f"p{i}_s{seed}": float(value) for i, value in enumerate(values)}


def test_seeds_of_a_prompt_are_averaged_first():
    assert by_prompt({"a_s0": 0.0, "a_s1": 1.0, "b_s_s0": 3.0}) == {"a": 0.5, "b_s": 3}
    # One prompt with many seeds has no more weight than another with one.
    many = {f"a_s{i}": 1.0 for i in range(9)} | {"b_s0": 0.0}
    assert mean_interval(many, True).mean == 0.5
    assert mean_interval(many, True).n == 2


def test_a_share_has_wilsons_interval():
    none = mean_interval(clips([0] * 20), True)
    z2 = 1.959964**2
    assert (none.mean, none.low) == (0, pytest.approx(0, abs=1e-12))
    assert none.high == pytest.approx(z2 / (20 + z2), rel=1e-5)


def test_counts_and_seconds_that_happen_to_be_0_and_1_are_no_share():
    half = mean_interval(clips([0, 1] * 50), False)
    assert half.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.015)  # normal: deviation ½ over √100
    none = mean_interval(clips([0] * 20), False)
    assert (none.low, none.mean, none.high) == (0, 0, 0)  # Wilson would say up to 0.16


def test_an_interval_of_means_has_the_width_of_the_normal_one():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = mean_interval(clips(values), False)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)


def test_nothing_and_a_single_prompt():
    assert mean_interval({}, False) is None
    one = mean_interval({"a_s0": 0.3}, False)
    assert (one.low, one.mean, one.high, one.n) == (0.3, 0.3, 0.3, 1)


def test_comparison_pairs_by_clip_and_states_n():
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 10, 50)  # what makes prompts hard is shared
    a = clips(hard + 1 + 0.1 * rng.normal(size=50))
    b = dict(reversed(clips(hard).items()))
    del a["p7_s0"]
    found = compare({"a": a, "b": b}, "b", ["b", "a"])[0]
    assert (found.arm, found.against, found.difference.n) == ("a", "b", 49)
    assert 0.9 < found.difference.low < found.difference.mean < found.difference.high < 1.1
    assert (found.wins, found.losses) == (49, 0)
    assert found.effect == pytest.approx(10, rel=0.35)
    assert found.p == found.p_holm < 0.001


def test_ones_and_zeros_get_mcnemars_exact_test():
    a = clips([1] * 6 + [0] * 1 + [1] * 10)
    b = clips([0] * 6 + [1] * 1 + [1] * 10)
    found = compare({"a": a, "b": b}, "b", ["a"], is_share=True)[0]
    assert (found.wins, found.losses) == (6, 1)
    assert found.p == pytest.approx(2 * (1 + 7) / 2**7)  # P(X ≥ 6 or ≤ 1), X ~ Binomial(7, ½)


def test_counts_whose_differences_happen_to_be_0_and_1_are_no_share():
    a, b = clips([3] * 60 + [5] * 40), clips([2] * 60 + [5] * 40)
    found = compare({"a": a, "b": b}, "b", ["a"])[0]
    t = 0.6 / (math.sqrt(0.24 * 100 / 99) / 10)  # mean over standard error: the t test from 50 prompts on
    assert found.p == pytest.approx(2 * stats.t.sf(t, 99), rel=1e-6)
    few = compare({"a": clips([3, 4, 5]), "b": clips([2, 3, 4])}, "b", ["a"])[0]
    assert few.p == 2 / 2**3  # all signs alike, of 2³


def test_equal_arms_differ_by_nothing():
    found = compare({"a": clips([1, 2, 3]), "b": clips([1, 2, 3])}, "b", ["a"])[0]
    assert (found.difference.mean, found.effect, found.p) == (0, None, 1)
    assert compare({"a": clips([1]), "b": clips([2])}, "b", ["a"]) == []


def test_sign_flips_find_nothing_in_noise_at_their_level():
    rng = np.random.default_rng(2)
    p = [
        compare({"a": clips(rng.normal(size=12)), "b": clips(np.zeros(12))}, "b", ["a"])[0].p
        for _ in range(60)
    ]
    assert 0 <= np.mean(np.array(p) < 0.05) <= 0.15
    assert 0.35 < np.mean(p) < 0.65


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []


def test_many_arms_are_corrected_together():
    rng = np.random.default_rng(3)
    base = clips(np.zeros(30))
    arms = {name: clips(rng.normal(0.45, 1, 30)) for name in "abc"}
    alone = {name: compare({"base": base, name: v}, "base", [name])[0] for name, v in arms.items()}
    together = compare({"base": base, **arms}, "base", list(arms))
    assert [c.p for c in together] == [alone[c.arm].p for c in together]
    assert min(c.p_holm for c in together) == pytest.approx(3 * min(c.p for c in together))
    assert all(math.isfinite(c.effect) for c in together)


def test_a_thousand_prompts_take_seconds():
    rng = np.random.default_rng(4)
    start = time.process_time()
    compare({"a": clips(rng.normal(size=1000)), "b": clips(rng.normal(size=1000))}, "b", ["a"])
    assert time.process_time() - start < 5
