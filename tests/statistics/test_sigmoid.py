"""Sigmoids through proportions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize
from trajectories.statistics import sigmoid

TOKENS = np.geomspace(1e6, 1e9, 16)


def drawn(seed: int, width: float = 0.25, n: int = 500) -> np.ndarray:
    p = sigmoid.curve(np.log10(TOKENS), 0.5, 0.95, 7.5, width)
    return np.random.default_rng(seed).binomial(n, p) / n


def test_the_truth_is_recovered_and_not_rejected_and_the_rivals_are_worse() -> None:
    fits = [sigmoid.fits(TOKENS, drawn(seed), 500) for seed in range(200)]
    estimates = np.array([f["sigmoid"].parameters for f in fits])
    assert np.median(estimates[:, :3], axis=0) == pytest.approx([0.5, 0.95, 7.5], abs=0.03)
    assert np.exp(np.median(estimates[:, 3])) == pytest.approx(0.25, abs=0.03)
    assert np.mean([f["sigmoid"].p < 0.05 for f in fits]) <= 0.09
    assert np.mean([f["sigmoid"].deviance for f in fits]) == pytest.approx(12, abs=1)
    best = [min(f.values(), key=lambda x: x.aic).name for f in fits]
    assert best.count("sigmoid") > 0.7 * len(fits)
    assert not {"line", "constant"} & set(best)
    assert all(f["sigmoid"].r2 > 0.95 for f in fits)


def test_a_trajectory_that_falls_is_at_odds_with_any_sigmoid() -> None:
    levels = drawn(1).copy()
    levels[6:9] = 0.2
    assert sigmoid.fits(TOKENS, levels, 500)["sigmoid"].p < 1e-6


def test_the_grid_finds_the_least_squares_of_a_peer() -> None:
    x, y = np.log10(TOKENS), drawn(3)
    low, high, middle, width = sigmoid.grid(x, y, np.ones(16))
    peer = optimize.curve_fit(sigmoid.curve, x, y, p0=[low, high, middle, width])[0]
    rest = [np.square(y - sigmoid.curve(x, *p)).sum() for p in ((low, high, middle, width), peer)]
    assert rest[0] <= 1.3 * rest[1]
    assert middle == pytest.approx(peer[2], abs=0.1)


def test_a_rise_is_no_shorter_than_asked_for() -> None:
    x = np.arange(16.0)
    width = sigmoid.grid(x, np.where(x < 8, 0.5, 0.9), np.ones(16), narrowest=5.0)[3]
    assert width * sigmoid.RISE >= 5 - 1e-9


def test_few_steps_have_no_fit() -> None:
    assert sigmoid.fits(TOKENS[:5], drawn(1)[:5], 500) == {}
