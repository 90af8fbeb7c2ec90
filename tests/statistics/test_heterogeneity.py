"""The spread of true effects between groups: a peer's estimate, coverage, and both verdicts where sampling errors are only bounded."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects
from trajectories.statistics.heterogeneity import q, spread
from trajectories.statistics.power import POWER, power_at, smallest_effect


def drawn(tau: float, seed: int, groups: int = 12) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    variances = generator.uniform(0.01, 0.08, groups)
    return generator.normal(0.3, tau, groups) + np.sqrt(variances) * generator.standard_normal(groups), variances


@pytest.mark.parametrize("seed", range(4))
def test_the_estimate_is_that_of_paule_and_mandel(seed: int) -> None:
    estimates, variances = drawn(0.5, seed)
    peer = combine_effects(estimates, variances, method_re="iterated")
    assert spread(estimates, variances).estimate == pytest.approx(np.sqrt(peer.tau2), rel=1e-3)


def test_bounds_hold_the_truth_in_90_percent_of_samples() -> None:
    results = [spread(*drawn(0.4, seed)) for seed in range(300)]
    held = np.mean([r.ci_low <= 0.4 <= r.ci_high for r in results])
    assert 0.85 < held < 0.95


def test_tails_are_the_p_values_whose_inversion_the_bounds_are() -> None:
    result = spread(*drawn(0.5, 3))
    assert result.p(result.ci_low)[0] == pytest.approx(0.05, abs=1e-6)
    assert result.p(result.ci_high)[1] == pytest.approx(0.05, abs=1e-6)
    assert result.finite


def test_bounded_variances_widen_the_interval_upwards_only() -> None:
    estimates, variances = drawn(0.3, 5)
    known, bounded = spread(estimates, variances), spread(estimates, variances, bounded=True)
    assert bounded.ci_low == known.ci_low
    assert bounded.ci_high > known.ci_high


def test_groups_that_agree_have_no_spread_and_two_groups_tell_nothing() -> None:
    result = spread(np.full(6, 0.2), np.full(6, 0.01))
    assert (result.estimate, result.ci_low) == (0.0, 0.0)
    assert q(np.full(6, 0.2), np.zeros(6), 0.0) == 0.0
    assert not spread(np.array([0.0, 1.0]), np.array([0.1, 0.1])).finite


def test_the_smallest_effect_is_what_the_wanted_power_tells() -> None:
    least = smallest_effect(2.5, 320)
    assert power_at(2.5, least, 320) == pytest.approx(POWER)
    assert smallest_effect(2.5, 1280) == pytest.approx(least / 2)
    assert smallest_effect(0.0, 100) == np.inf
