"""Averages over a few runs: the interval covers the truth when runs differ, and says so when it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from trajectories.statistics.claims import Result
from trajectories.statistics.replicates import over_replicates


def test_the_interval_covers_the_truth_whether_runs_or_units_differ_more() -> None:
    for between, units in ((0.0, 1.0), (1.0, 1.0), (3.0, 0.3)):
        generator = np.random.default_rng(1)
        covered = []
        for _ in range(2000):
            shared = units / np.sqrt(50) * generator.standard_normal()  # the units' chance is the same in every run
            runs = shared + between * generator.standard_normal(3)
            found = over_replicates(Result(float(runs.mean()), units / np.sqrt(50), 49, method="mean"), [(1.0, runs)])
            covered.append(found.ci_low <= 0 <= found.ci_high)
        assert np.mean(covered) > 0.9 - 0.025, "the interval's level is 90 %"


def test_runs_that_differ_widen_the_interval_and_runs_that_agree_do_not() -> None:
    result = Result(1.0, 0.1, 100, method="mean")
    apart, alike = (over_replicates(result, [(1.0, [1 - d, 1.0, 1 + d])]) for d in (0.5, 0.0))
    assert apart.stderr == pytest.approx(np.sqrt(0.1**2 + 0.5**2 / 3))
    assert apart.df < 3
    assert (alike.stderr, alike.df) == (pytest.approx(0.1), pytest.approx(100))
    assert apart.ci_low < alike.ci_low
    assert "variance between runs added" in apart.method


def test_a_contrast_adds_the_variance_of_both_sides() -> None:
    result = Result(0.0, 0.1, 100, method="mean")
    values = [0.5, 1.0, 1.5]
    found = over_replicates(result, [(1.0, values), (-1.0, values)])
    assert found.stderr == pytest.approx(np.sqrt(0.1**2 + 2 * 0.25 / 3))


def test_with_two_runs_the_inference_is_conditional_and_says_so() -> None:
    result = Result(1.0, 0.1, 100, method="mean")
    found = over_replicates(result, [(1.0, [0.0, 2.0])])
    assert found.stderr == 0.1
    assert found.method == "mean; conditional on these runs"
    assert over_replicates(result, [(1.0, [1.0])]).method == "mean; conditional on this run"
    assert "conditional" in over_replicates(result, [(1.0, [1.0, 2.0, np.nan])]).method, "a run without an estimate does not count"
