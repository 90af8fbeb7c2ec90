"""Sample sizes and power of slopes, against the formula by hand and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit
from trajectories.statistics.order_regression import design, firth_logistic, linear
from trajectories.statistics.power import (
    case_control_information,
    linear_information,
    logistic_information,
    power_at,
    uniform_variance,
    units_needed,
)

MARGIN = math.log(1.25)


@pytest.mark.parametrize(("rate", "rows"), [(0.0032, 467_000), (0.12, 14_000)])
def test_refuting_an_odds_ratio_takes_as_many_rows_as_the_formula_by_hand(rate: float, rows: int) -> None:
    by_hand = 12 * (1.645 + 0.842) ** 2 / (MARGIN**2 * rate * (1 - rate))
    needed = units_needed(logistic_information(rate, 0.0), MARGIN)
    assert needed == pytest.approx(by_hand, rel=0.002)
    assert needed == pytest.approx(rows, rel=0.02)


def test_setting_the_last_tenth_apart_costs_rows_by_the_square_of_what_is_left() -> None:
    whole, cut = (units_needed(logistic_information(0.12, 0.0, 0, high), MARGIN) for high in (1.0, 0.9))
    assert cut == pytest.approx(whole / 0.81)


def test_power_and_sample_are_each_others_inverse() -> None:
    for information, alpha in ((logistic_information(0.05, 2 * MARGIN, 0, 0.9), 0.05), (linear_information(0, 0.9), 0.05 / 4)):
        n = units_needed(information, 0.2, effect=1.7, power=0.9, alpha=alpha)
        assert power_at(information, 0.2, n, effect=1.7, alpha=alpha) == pytest.approx(0.9)
    assert units_needed(0.0, 0.2) == math.inf


def test_information_of_a_slope_equals_that_of_a_large_fit() -> None:
    generator = np.random.default_rng(1)
    x = generator.uniform(0, 0.9, 200_000)
    intercept, slope = -2.0, 1.5
    p = expit(intercept + slope * x)
    rate = float(p.mean())
    columns = np.column_stack([np.ones_like(x), x])
    fisher = (columns * (p * (1 - p))[:, None]).T @ columns
    per_unit = 1 / np.linalg.inv(fisher)[1, 1] / len(x)
    assert logistic_information(rate, slope, 0, 0.9) == pytest.approx(per_unit, rel=0.01)


def rejected(outcome: str, truth: float, margin: float, n: int, rate: float, generator: np.random.Generator) -> bool:
    """Whether one simulated sample refutes (truth 0) or supports (truth twice the margin)."""
    x = generator.uniform(0, 0.9, n)
    labels = np.arange(n)
    columns, names = design(x)
    if outcome == "logistic":
        intercept = math.log(rate / (1 - rate)) - truth * 0.45
        y = (generator.random(n) < expit(intercept + truth * x)).astype(float)
        result = firth_logistic(y, columns, labels, names).result("position")
    else:
        y = truth * x + generator.standard_normal(n)
        result = linear(y, columns, labels, names).result("position")
    above, below = result.p(margin)
    return (above if truth else below) < 0.05


@pytest.mark.parametrize("outcome", ["logistic", "linear"])
@pytest.mark.parametrize("truth", [0, 2])
def test_the_sample_that_is_said_to_be_needed_has_the_power_in_simulations(outcome: str, truth: int) -> None:
    generator, rate = np.random.default_rng(2), 0.1
    margin = 0.7 if outcome == "logistic" else 0.3
    information = logistic_information(rate, truth * margin, 0, 0.9) if outcome == "logistic" else linear_information(0, 0.9)
    n = math.ceil(units_needed(information, margin))
    found = np.mean([rejected(outcome, truth * margin, margin, n, rate, generator) for _ in range(500)])
    assert abs(found - 0.8) < 3 * math.sqrt(0.16 / 500) + 0.01


def test_a_design_effect_measured_from_clusters_gives_the_rows_that_clusters_take() -> None:
    generator = np.random.default_rng(3)
    margin, members, shared = 0.4, 10, 0.3
    # the position is the cluster's, so the design effect is 1 + (m − 1)ρ
    effect = 1 + (members - 1) * shared
    groups = math.ceil(units_needed(linear_information(), margin, effect) / members)

    def once() -> bool:
        labels = np.repeat(np.arange(groups), members)
        x = generator.uniform(0, 1, groups)[labels]
        y = math.sqrt(shared) * generator.standard_normal(groups)[labels] + math.sqrt(1 - shared) * generator.standard_normal(len(x))
        columns, names = design(x)
        return linear(y, columns, labels, names).result("position").p(margin)[1] < 0.05

    found = np.mean([once() for _ in range(500)])
    assert abs(found - 0.8) < 3 * math.sqrt(0.16 / 500) + 0.01


def test_cases_and_controls_tell_of_a_slope_what_their_numbers_allow() -> None:
    generator = np.random.default_rng(4)
    rate, controls, cases = 0.004, 3000, 1000
    per_unit = case_control_information(rate, controls, cases, 0, 0.9)
    estimates = []
    for _ in range(300):
        x = generator.uniform(0, 0.9, controls + cases)
        y = np.concatenate([generator.random(controls) < rate, np.ones(cases, bool)]).astype(float)
        columns, names = design(x)
        estimates.append(firth_logistic(y, columns, np.arange(len(y)), names).coefficients[1])
    assert np.std(estimates) == pytest.approx(1 / math.sqrt(per_unit * (controls + cases)), rel=0.12)
    assert case_control_information(0.1, 5000, 0) == pytest.approx(0.1 * 0.9 * uniform_variance(0, 1))
