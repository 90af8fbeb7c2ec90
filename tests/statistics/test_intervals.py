"""Intervals: known values, and coverage on simulated data of known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from trajectories.statistics import intervals


def test_wilsons_interval_has_its_textbook_value() -> None:
    # Newcombe (1998), Stat. Med. 17, table I: 81 of 263
    low, high = intervals.wilson(np.array([81]), np.array([263]))
    assert (round(float(low[0]), 4), round(float(high[0]), 4)) == (0.2553, 0.3662)


def test_wilsons_interval_stays_within_zero_and_one_and_is_absent_without_trials() -> None:
    low, high = intervals.wilson(np.array([0, 10, 0]), np.array([10, 10, 0]))
    assert low[0] == 0
    assert high[0] > 0.2
    assert high[1] == 1
    assert low[1] < 0.8
    assert np.isnan(low[2])


def test_the_mean_of_strata_is_unweighted_by_their_size_and_its_interval_covers_the_truth() -> None:
    random, truth, n = np.random.default_rng(1), np.array([0.5, 0.9, 0.99, 0.7]), np.array([40, 80, 40, 160])
    drawn = random.binomial(n, truth, size=(2000, 4)) / n
    centre, low, high = intervals.stratified_mean(drawn, *intervals.wilson(drawn * n, n), np.full((1, 4), 0.25))
    assert np.allclose(centre[:, 0], drawn.mean(1))
    covered = float(((low[:, 0] <= truth.mean()) & (truth.mean() <= high[:, 0])).mean())
    assert 0.935 <= covered <= 0.985


def test_strata_that_are_all_right_keep_an_interval() -> None:
    one = np.ones((1, 3))
    _, low, high = intervals.stratified_mean(one, *intervals.wilson(one * 20, np.array(20)), np.full((1, 3), 1 / 3))
    assert 0.85 < low[0, 0] < 0.95
    assert high[0, 0] == 1


def test_a_single_value_has_no_standard_error() -> None:
    _, stderr, low, high = intervals.mean(np.array([[3.0]]), axis=1)
    assert np.isnan([stderr[0], low[0], high[0]]).all()


def test_students_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(2).normal(size=12)
    _, _, low, high = intervals.mean(values)
    assert np.allclose((low, high), stats.ttest_1samp(values, 0).confidence_interval(0.95))


def test_resamples_have_as_many_units_as_the_sample() -> None:
    counts = intervals.resample_counts(7, 50, np.random.default_rng(3))
    assert counts.shape == (50, 7)
    assert (counts.sum(1) == 7).all()
    assert counts.max() > 1


def test_resampling_clusters_sees_the_variance_between_them() -> None:
    random = np.random.default_rng(4)
    clusters = np.repeat(np.arange(40), 10)
    values = random.normal(size=40)[clusters] + 0.1 * random.normal(size=400)
    replicates = intervals.cluster_bootstrap(values, clusters, 2000, random)
    expected = values.reshape(40, 10).mean(1).std(ddof=0) / 40**0.5
    assert replicates.std() == pytest.approx(expected, rel=0.1)
    assert replicates.std() > 2 * values.std() / 400**0.5


def test_the_jackknife_over_clusters_of_one_is_the_standard_error_of_the_mean() -> None:
    values = np.random.default_rng(5).normal(size=15)
    estimate, stderr, df = intervals.cluster_jackknife(lambda m: values[m].mean(), np.arange(15))
    assert (estimate, stderr, df) == (pytest.approx(values.mean()), pytest.approx(stats.sem(values)), 14)


def test_the_jackknife_covers_the_mean_of_few_unequal_clusters() -> None:
    random, clusters = np.random.default_rng(6), np.repeat(np.arange(13), [2, 7, 7, 5, 8, 2, 7, 2, 8, 7, 4, 2, 6])
    covered = 0
    for _ in range(1000):
        values = random.normal(size=13)[clusters] + random.normal(size=len(clusters))
        low, high = intervals.t_interval(*intervals.cluster_jackknife(lambda m: values[m].mean(), clusters))  # noqa: B023
        covered += low <= 0 <= high
    assert 0.93 <= covered / 1000 <= 0.985


def test_one_cluster_gives_no_standard_error() -> None:
    assert np.isnan(intervals.cluster_jackknife(lambda m: float(m.sum()), np.zeros(4))[1])


def test_the_mid_p_bound_lies_between_the_exact_and_the_uncorrected_one() -> None:
    exact = stats.binomtest(8, 10).proportion_ci(0.9, "exact").low
    bound = intervals.binomial_bound(8, 10, 0.05)
    assert exact < bound < 0.8
    assert intervals.binomial_mid_p(8, 10, bound) == pytest.approx(0.05)
    assert intervals.binomial_bound(0, 10, 0.05) == 0
    assert intervals.binomial_bound(10, 10, 0.95) == 1
