"""Means of values known only to lie in intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from trajectories.statistics.censored_normal import fit

EDGES = np.array([2.0, 3.0, 3.5, 4.0, 5.0])
ENDS = np.r_[-np.inf, EDGES, np.inf]


def censored(generator: np.random.Generator, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    place = np.searchsorted(EDGES, generator.normal(3, 1.2, n))
    return ENDS[place], ENDS[place + 1]


def test_it_is_the_maximum_likelihood_of_scipy() -> None:
    low, high = censored(np.random.default_rng(1))
    inside = np.isfinite(low) & np.isfinite(high)
    data = stats.CensoredData(
        interval=np.stack([low, high], 1)[inside], left=high[~np.isfinite(low)], right=low[~np.isfinite(high)]
    )  # fmt: skip
    found = fit(low, high)
    assert found is not None
    assert (found.mean, found.sd) == pytest.approx(stats.norm.fit(data), abs=1e-3)
    assert found.influence.sum() == pytest.approx(0, abs=1e-8)


def test_its_influences_give_the_spread_of_the_mean() -> None:
    generator = np.random.default_rng(2)
    fits = [fit(*censored(generator)) for _ in range(300)]
    shown = np.std([f.mean for f in fits if f])
    told = np.mean([np.sqrt(np.square(f.influence).sum()) for f in fits if f])
    assert told == pytest.approx(shown, rel=0.15)


def test_too_few_finite_intervals_or_none_allow_no_mean() -> None:
    assert fit(np.full(30, -np.inf), np.zeros(30)) is None
    assert fit(np.empty(0), np.empty(0)) is None
