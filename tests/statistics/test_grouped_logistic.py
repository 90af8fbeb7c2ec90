"""Logistic regression of counts: the maximum likelihood estimate, and standard errors that hold under overdispersion."""

from __future__ import annotations

import numpy as np
import statsmodels.api as sm
from scipy.special import expit
from trajectories.statistics.grouped_logistic import grouped_logistic

NAMES = ("intercept", "position")


def sample(
    generator: np.random.Generator, slope: float, shared: float, groups: int = 400, trials: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    place = np.linspace(0, 1, groups)
    p = expit(-3 + slope * place)
    if shared:
        p = generator.beta(p * (1 / shared - 1), (1 - p) * (1 / shared - 1))
    return generator.binomial(trials, p), np.column_stack([np.ones(groups), place])


def test_the_estimate_is_that_of_statsmodels() -> None:
    events, x = sample(np.random.default_rng(1), 0.5, 0.05)
    fit = grouped_logistic(events, np.full(len(events), 50), x, NAMES)
    peer = sm.GLM(np.column_stack([events, 50 - events]), x, family=sm.families.Binomial()).fit(cov_type="HC0")
    np.testing.assert_allclose(fit.coefficients, peer.params, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), peer.bse * np.sqrt(400 / 399), rtol=1e-5)
    np.testing.assert_allclose(fit.residual_sd**2, peer.pearson_chi2 / peer.df_resid, rtol=1e-6)
    assert (fit.n, fit.n_clusters, fit.n_events) == (20_000, 400, int(events.sum()))


def test_intervals_keep_their_level_where_trials_of_a_group_depend_on_each_other() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        events, x = sample(generator, 0.4, 0.1)
        result = grouped_logistic(events, np.full(len(events), 50), x, NAMES).result("position")
        covered += result.ci_low < 0.4 < result.ci_high
    assert abs(covered / 300 - 0.9) < 0.05


def test_blocks_of_groups_stand_dependence_between_neighbours() -> None:
    generator = np.random.default_rng(3)
    alone, blocks = [], []
    for _ in range(200):
        p = np.repeat(expit(-3 + 0.7 * generator.standard_normal(40)), 10)
        events, x = generator.binomial(50, p), np.column_stack([np.ones(400), np.linspace(0, 1, 400)])
        for block, found in ((1, alone), (10, blocks)):
            result = grouped_logistic(events, np.full(400, 50), x, NAMES, block).result("position")
            found.append(result.ci_low < 0 < result.ci_high)
    assert np.mean(alone) < 0.6
    assert np.mean(blocks) > 0.8


def test_without_events_there_is_no_estimate() -> None:
    fit = grouped_logistic(np.zeros(10), np.full(10, 5), np.column_stack([np.ones(10), np.arange(10)]), NAMES)
    assert fit.problem == "none of 50 trials are events"
    assert not fit.result("position").finite
