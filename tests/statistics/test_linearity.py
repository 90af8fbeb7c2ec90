"""Bent trends: found where they are, measured in margins, and not taken for straight ones for want of data."""

from __future__ import annotations

import numpy as np
import pytest
from trajectories.statistics.linearity import bends, straightness, wald
from trajectories.statistics.order_regression import Fit, design, linear


def fitted(generator: np.random.Generator, bend: float, n: int = 800) -> tuple[Fit, np.ndarray]:
    """A slope of 0.5 with a parabola on top; batches of 4 share half of the noise."""
    position = generator.random(n)
    noise = np.sqrt(0.5) * (generator.standard_normal(n // 4)[np.arange(n) // 4] + generator.standard_normal(n))
    y = 0.5 * position + bend * (1 - 4 * (position - 0.5) ** 2) + noise
    x, names = design(position, knots=4)
    return linear(y, x, np.arange(n) // 4, names), position


def test_bends_leave_constant_and_slope_to_the_straight_line() -> None:
    position = np.random.default_rng(1).random(300) ** 2
    columns = bends(position, position, 5)
    assert columns.shape == (300, 3)
    straight = np.column_stack([np.ones(300), position])
    assert straight.T @ columns == pytest.approx(np.zeros((2, 3)), abs=1e-8)
    assert columns.T @ columns / 300 == pytest.approx(np.eye(3), abs=1e-8)


def test_a_place_without_spread_has_no_bends() -> None:
    assert bends(np.ones(20), np.ones(20), 4).shape == (20, 0)


def test_a_straight_trend_is_called_bent_one_time_in_twenty() -> None:
    generator = np.random.default_rng(2)
    p = [wald(fit, [n for n in fit.names if n.startswith("bend")])[3] for fit, _ in (fitted(generator, 0.0) for _ in range(400))]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 400))


def test_a_bent_trend_is_found_with_its_size_and_place() -> None:
    fit, position = fitted(np.random.default_rng(3), 0.6, n=4000)
    tested, trend = straightness(fit, position, margin=0.2)
    assert tested["shape"] == "bent"
    # the parabola leaves its best line, at 2/3 of its height, by that height at the ends and half of it in the middle
    assert abs(tested["deviation"]) == pytest.approx(0.4 / 0.2, rel=0.25)
    assert tested["place"] in (pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01))
    assert tested["rise_low"] < 0.5 / 0.2 < tested["rise_high"]
    truth = np.array([0.5 * t["x"] + 0.6 * (1 - 4 * (t["x"] - 0.5) ** 2) for t in trend])
    shift = truth.mean() - np.mean([t["value"] for t in trend])
    inside = [t["ci_low"] + shift - 0.03 < v < t["ci_high"] + shift + 0.03 for t, v in zip(trend, truth, strict=True)]
    assert np.mean(inside) > 0.8


def test_not_found_to_be_bent_is_not_called_straight_unless_the_bound_says_so() -> None:
    generator = np.random.default_rng(4)
    fit, position = fitted(generator, 0.0)
    p = straightness(fit, position, margin=0.1)[0]["p"]
    assert p > 0.05
    assert straightness(fit, position, margin=0.1)[0]["shape"] == "open"
    assert straightness(fit, position, margin=5.0)[0]["shape"] == "straight within the margin"
