"""Panels: projecting effects out equals fitting a dummy for each, and clusters of units widen the intervals as they should."""

from __future__ import annotations

import numpy as np
import pytest
from trajectories.statistics.panel_regression import panel_regression

N, T = 40, 6


def sample(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    columns = generator.normal(size=(2, N, T)) + generator.normal(size=(2, N, 1))
    facts = generator.normal(size=(N, 2))
    y = columns[0] - 2 * columns[1] + facts[:, :1] * np.arange(T) + generator.normal(size=(N, 1)) + generator.normal(size=(N, T))
    return y, columns, facts, generator.uniform(0.5, 2, N)


def dummies(columns: np.ndarray, facts: np.ndarray, units: bool) -> np.ndarray:
    period, unit = np.eye(T)[np.tile(np.arange(T), N)], np.eye(N)[np.repeat(np.arange(N), T)]
    own = [f[:, None] * period for f in np.repeat(facts, T, axis=0).T]
    return np.column_stack([columns.reshape(2, -1).T, period, *own, *([unit] if units else [])])


@pytest.mark.parametrize("units", [True, False])
def test_coefficients_equal_those_with_a_dummy_for_each_unit_and_period(units: bool) -> None:
    y, columns, facts, weights = sample(np.random.default_rng(1))
    fit = panel_regression(y, columns, facts, np.arange(N), ("a", "b"), unit_effects=units, weights=weights)
    root = np.sqrt(np.repeat(weights, T))
    expected = np.linalg.lstsq(dummies(columns, facts, units) * root[:, None], y.ravel() * root)[0]
    assert fit.coefficients == pytest.approx(expected[:2])
    assert fit.n == N


@pytest.mark.parametrize("units", [True, False])
def test_intervals_hold_what_they_promise_when_clusters_of_units_share_noise(units: bool) -> None:
    generator = np.random.default_rng(2)
    covered = []
    for _ in range(300):
        clusters = np.arange(120) // 3
        start = generator.integers(0, 9, 40)[clusters]
        seen = (np.arange(8) >= start[:, None]).astype(float)
        noise = generator.normal(size=(40, 8)).cumsum(axis=1)[clusters] + generator.normal(size=(120, 8))
        fit = panel_regression(0.3 * seen + noise, seen[None], np.empty((120, 0)), clusters, ("seen",), unit_effects=units)
        result = fit.result("seen")
        covered.append(result.ci_low < 0.3 < result.ci_high)
    assert np.mean(covered) == pytest.approx(0.9, abs=3 * np.sqrt(0.09 / 300) + 0.02)


def test_columns_that_the_periods_determine_give_a_problem_and_no_number() -> None:
    y, columns, facts, _ = sample(np.random.default_rng(3))
    columns[1] = np.arange(T)
    fit = panel_regression(y, columns, facts, np.arange(N), ("a", "b"), unit_effects=False)
    assert fit.problem == "the columns cannot be told apart, or from the periods"
    assert np.isnan(fit.coefficients).all()
