"""Regression on the position in the training order: estimates against references, size and power against known truth."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from statsmodels.api import OLS
from trajectories.statistics.claims import Claim, Result, p_values
from trajectories.statistics.order_regression import Fit, components, design, firth_logistic, linear

TERMS = ("intercept", "position")


def test_items_joined_by_a_chain_of_batches_and_copies_are_one_cluster() -> None:
    # 0 and 1 share batch 7; 1 and 2 share a copy group; 3 is alone though its batch has the number of that copy group
    batch = (np.array([0, 1, 2, 3]), np.array([7, 7, 8, 5]))
    copies = (np.array([0, 1, 2, 3]), np.array([1, 5, 5, 2]))
    assert components(4, batch, copies).tolist() == [0, 0, 0, 1]
    assert components(4, batch).tolist() == [0, 0, 1, 2]


def test_an_item_seen_in_two_batches_joins_them() -> None:
    assert components(3, (np.array([0, 1, 1, 2]), np.array([1, 1, 2, 2]))).tolist() == [0, 0, 0]


def test_an_item_without_any_key_is_a_cluster_of_its_own() -> None:
    assert components(3, (np.array([0, 2]), np.array([4, 4]))).tolist() == [0, 1, 0]


def test_firths_estimate_in_a_two_by_two_table_adds_a_half_to_each_cell() -> None:
    """The closed form of a saturated model (Firth 1993, section 3.3), with an empty cell that has no ordinary estimate."""
    cells = np.array([[30, 0], [20, 5]])
    y = np.repeat([0, 1, 0, 1], cells.ravel())
    position = np.repeat([0.0, 0.0, 1.0, 1.0], cells.ravel())
    fit = firth_logistic(y, np.column_stack([np.ones(len(y)), position]), np.arange(len(y)), TERMS)
    assert fit.coefficients[1] == pytest.approx(math.log(5.5 * 30.5 / (20.5 * 0.5)), abs=1e-6)


def test_firths_estimates_equal_those_of_an_independent_implementation() -> None:
    """Reference values: FirthLogisticRegression of the package firthmodels 0.8.2 on the same 60 rows with 6 events."""
    i = np.arange(60)
    x = np.column_stack([np.ones(60), i / 59, np.sin(i), i % 7 == 0])
    y = (i * 37) % 60 < 6 + 6 * (i % 7 == 0)
    fit = firth_logistic(y, x, i, ("intercept", "a", "b", "c"))
    assert fit.coefficients == pytest.approx([-1.4954538, -1.3262333, 0.6663516, 0.2278325], abs=1e-6)
    assert fit.problem is None


def test_separated_outcomes_still_give_a_finite_interval() -> None:
    y = np.r_[np.zeros(50), np.ones(50)]
    result = firth_logistic(y, np.column_stack([np.ones(100), np.linspace(0, 1, 100)]), np.arange(100), TERMS).result("position")
    assert np.isfinite([result.estimate, result.ci_low, result.ci_high]).all()
    assert result.estimate > 0


def test_linear_covariance_is_the_jackknife_that_leaves_out_whole_clusters() -> None:
    generator = np.random.default_rng(1)
    clusters = generator.integers(0, 25, 200)
    x = np.column_stack([np.ones(200), generator.random(200)])
    y = generator.normal(size=200) + clusters % 3
    fit = linear(y, x, clusters, TERMS)
    moves = [OLS(y[clusters != c], x[clusters != c]).fit().params - fit.coefficients for c in range(25)]
    assert fit.coefficients == pytest.approx(OLS(y, x).fit().params)
    assert fit.covariance == pytest.approx(24 / 25 * sum(np.outer(m, m) for m in moves))


def test_singletons_give_nearly_the_heteroscedasticity_robust_error() -> None:
    generator = np.random.default_rng(2)
    x = np.column_stack([np.ones(500), generator.random(500)])
    y = generator.normal(size=500) * (1 + x[:, 1])
    fit = linear(y, x, np.arange(500), TERMS)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(OLS(y, x).fit(cov_type="HC3").bse, rel=0.01)


def test_one_giant_cluster_leaves_few_degrees_of_freedom() -> None:
    generator = np.random.default_rng(3)
    x = np.column_stack([np.ones(400), generator.random(400)])
    even = linear(generator.normal(size=400), x, np.arange(400) // 4, TERMS)
    giant = linear(generator.normal(size=400), x, np.maximum(np.arange(400) - 300, 0), TERMS)
    assert even.df[1] > 40
    assert giant.df[1] < 3


def test_constant_and_redundant_covariates_are_left_out() -> None:
    position = np.linspace(0, 1, 50)
    covariates = {"constant": np.ones(50), "new": np.sin(np.arange(50)), "twice": 2 * np.sin(np.arange(50)) + 3 * position}
    assert design(position, covariates)[1] == ("intercept", "position", "new")
    assert design(position, covariates, knots=4)[1] == ("intercept", "position", "bend 1", "bend 2", "new")


def test_a_covariate_that_marks_a_few_rows_only_is_left_out() -> None:
    rows = np.arange(200)
    assert "rare" not in design(rows / 199, {"rare": rows % 30 == 1})[1]
    assert "common" in design(rows / 199, {"common": rows % 10 == 1})[1]


def test_outcomes_without_any_event_give_no_interval() -> None:
    x, names = design(np.linspace(0, 1, 50))
    assert firth_logistic(np.zeros(50), x, np.arange(50), names).result("position").problem == "none of 50 units are events"
    assert firth_logistic(np.ones(50), x, np.arange(50), names).result("position").problem == "all of 50 units are events"


def test_positions_without_spread_or_too_few_clusters_say_why() -> None:
    y, ones = np.arange(30.0), np.ones(30)
    flat = linear(y, np.column_stack([ones, ones]), np.arange(30), TERMS).result("position")
    assert flat.problem == "the position does not vary among the rows"
    two = linear(y, np.column_stack([ones, y]), np.arange(30) % 2, TERMS).result("position")
    assert two.problem == "only 2 independent clusters"
    assert not two.finite


def test_weights_count_a_unit_as_often_as_it_stands_for_others() -> None:
    generator = np.random.default_rng(8)
    x, names = design(generator.random(120))
    y, times = generator.normal(size=120) + x[:, 1], generator.integers(1, 5, 120)
    weighted = linear(y, x, np.arange(120), names, times)
    repeated = linear(np.repeat(y, times), np.repeat(x, times, axis=0), np.repeat(np.arange(120), times), names)
    assert weighted.coefficients == pytest.approx(repeated.coefficients)
    assert weighted.covariance == pytest.approx(repeated.covariance)


@pytest.mark.parametrize("fit", [linear, firth_logistic])
def test_equal_weights_change_nothing(fit: Callable[..., Fit]) -> None:
    generator = np.random.default_rng(9)
    x, names = design(generator.random(200))
    y, clusters = generator.random(200) < 0.3, np.arange(200) // 4
    plain, equal = fit(y, x, clusters, names), fit(y, x, clusters, names, np.full(200, 7.0))
    assert equal.coefficients == pytest.approx(plain.coefficients)
    assert equal.effective == pytest.approx(plain.effective)
    assert equal.method == plain.method


def test_a_weighted_case_control_sample_gives_the_populations_regression() -> None:
    """All events and a hundredth of the rest: the estimate is that of the whole, at little more than its standard error."""
    generator = np.random.default_rng(10)
    n = 60_000
    position, clusters = generator.random(n), np.arange(n) // 4
    y = generator.random(n) < expit(-6 + 1.0 * position)
    x = np.column_stack([np.ones(n), position])
    whole = firth_logistic(y, x, clusters, TERMS)
    drawn = y | (generator.random(n) < 0.05)
    sample = firth_logistic(y[drawn], x[drawn], clusters[drawn], TERMS, np.where(y[drawn], 1.0, 20.0))
    error = np.sqrt(np.diag(whole.covariance))
    assert sample.coefficients[0] == pytest.approx(whole.coefficients[0], abs=error[0])
    assert sample.coefficients[1] == pytest.approx(whole.coefficients[1], abs=error[1])
    assert error[1] < np.sqrt(sample.covariance[1, 1]) < 1.5 * error[1]
    unweighted = firth_logistic(y[drawn], x[drawn], clusters[drawn], TERMS)
    assert unweighted.coefficients[0] > whole.coefficients[0] + 2, "without weights the rate is that of the sample"


def test_weighted_intervals_hold_what_they_promise_in_case_control_samples() -> None:
    generator = np.random.default_rng(12)
    covered = []
    for _ in range(200):
        position, clusters = generator.random(8000), np.arange(8000) // 4
        shared = generator.standard_normal(2000)[clusters]
        y = generator.random(8000) < expit(-5 + position + 0.5 * shared)
        drawn = y | (generator.random(8000) < 0.05)
        x = np.column_stack([np.ones(drawn.sum()), position[drawn]])
        labels = np.unique(clusters[drawn], return_inverse=True)[1]
        result = firth_logistic(y[drawn], x, labels, TERMS, np.where(y[drawn], 1.0, 20.0)).result("position")
        covered.append(result.ci_low < 1.0 < result.ci_high)
    assert np.mean(covered) > 0.9 - 3 * math.sqrt(0.09 / 200)


def test_one_cluster_that_holds_nearly_everything_leaves_no_verdict() -> None:
    generator = np.random.default_rng(3)
    x = np.column_stack([np.ones(400), generator.random(400)])
    result = linear(generator.normal(size=400), x, np.maximum(np.arange(400) - 360, 0), TERMS).result("position")
    assert not result.finite
    assert result.problem is not None
    assert "the 40 clusters differ so much in size" in result.problem


# --- size and power on samples of known truth ---------------------------------------------------------------------------------------------

BATCHES, ROWS, CORRELATION = 120, 8, 0.3
MARGIN = 0.8


def sample(generator: np.random.Generator, slope: float, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Memorized or not, span log-probability, position and cluster of rows in correlated batches; a tenth of the rows have a copy.

    Copies share the whole of what is not due to position, across batches.
    """
    batch = np.repeat(np.arange(BATCHES), ROWS)
    n = len(batch)
    position = (batch + generator.random(n)) / BATCHES
    group = np.arange(n)
    copied = generator.choice(n, n // 10, replace=False).reshape(2, -1)
    group[copied[1]] = group[copied[0]]
    shared, own = generator.standard_normal(BATCHES)[batch], generator.standard_normal(n)[group]
    latent = np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * own
    memorized = norm.cdf(-latent) < expit(np.log(rate / (1 - rate)) + slope * (position - 0.5))
    return memorized, latent + slope * position, position, components(n, (np.arange(n), batch), (np.arange(n), group))


def rates(slope: float, fit: str, simulations: int, rate: float = 0.08, clustered: bool = True) -> tuple[float, float]:
    """Share of simulations whose bounds support, and refute, an effect above the margin."""
    generator = np.random.default_rng([7, round(slope * 1000), simulations])
    claim = Claim("c", "e", "f", "s", "p", "r", "m", "scale", MARGIN)
    p = []
    for _ in range(simulations):
        memorized, logprob, position, clusters = sample(generator, slope, rate)
        x, names = design(position)
        labels = clusters if clustered else np.arange(len(x))
        fitted: Fit = firth_logistic(memorized, x, labels, names) if fit == "logistic" else linear(logprob, x, labels, names)
        p.append(p_values(claim, fitted.result("position")))
    supported, refuted = (np.array(p) < 0.05).mean(axis=0)
    return float(supported), float(refuted)


SIMULATIONS = 300
LARGEST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / SIMULATIONS)


@pytest.mark.parametrize("fit", ["logistic", "linear"])
def test_at_the_margin_wrong_verdicts_stay_at_five_per_cent(fit: str) -> None:
    supported, refuted = rates(MARGIN, fit, SIMULATIONS)
    assert supported <= LARGEST
    assert refuted <= LARGEST


@pytest.mark.parametrize("fit", ["logistic", "linear"])
def test_errors_that_ignore_clusters_would_give_too_many_wrong_verdicts(fit: str) -> None:
    """The simulation can tell a valid interval from an invalid one."""
    assert max(rates(MARGIN, fit, SIMULATIONS, clustered=False)) > LARGEST


@pytest.mark.parametrize("fit", ["logistic", "linear"])
def test_twice_the_margin_is_supported_and_none_is_refuted(fit: str) -> None:
    power = 0.45 if fit == "logistic" else 0.9
    assert rates(2 * MARGIN, fit, 100)[0] > power
    assert rates(0.0, fit, 100)[1] > power
    assert rates(2 * MARGIN, fit, 100)[1] == 0
    assert rates(0.0, fit, 100)[0] == 0


def test_rare_events_do_not_bias_the_slope() -> None:
    generator = np.random.default_rng(11)
    estimates = []
    for _ in range(200):
        memorized, _, position, clusters = sample(generator, 1.0, 0.03)
        x, names = design(position)
        estimates.append(firth_logistic(memorized, x, clusters, names).result("position").estimate)
    assert np.mean(estimates) == pytest.approx(1.0, abs=3 * float(np.std(estimates)) / math.sqrt(200))


def test_a_result_in_other_units_is_scaled_whole() -> None:
    generator = np.random.default_rng(5)
    x, names = design(generator.random(100))
    fit = linear(generator.normal(size=100), x, np.arange(100), names)
    natural, scaled = fit.result("position"), fit.result("position", unit=2.0)
    assert isinstance(scaled, Result)
    assert scaled.ci_low == pytest.approx(natural.ci_low / 2)
    assert scaled.stderr == pytest.approx(natural.stderr / 2)


def copied(generator: np.random.Generator, slope: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, own place, place of the latest copy, batch and copy group of rows of which a tenth have a copy elsewhere in the sample.

    The outcome depends on when the text was seen last, and copies share what is not due to that.
    """
    batch = np.repeat(np.arange(400), 4)
    n = len(batch)
    own = (batch + generator.random(n)) / 400
    group = np.arange(n)
    pairs = generator.choice(n, n // 10, replace=False).reshape(2, -1)
    group[pairs[1]] = group[pairs[0]]
    latest = own.copy()
    latest[pairs[0]] = latest[pairs[1]] = np.maximum(own[pairs[0]], own[pairs[1]])
    noise = np.sqrt(0.2) * generator.standard_normal(400)[batch] + np.sqrt(0.8) * generator.standard_normal(n)[group]
    return slope * latest + noise, own, latest, batch, group


def test_ignoring_copies_dilutes_the_slope_and_refutes_true_effects_while_dating_by_the_latest_does_not() -> None:
    """At the margin itself a refutation is wrong. Copies moved elsewhere make the slope flatter unless rows are dated by the latest."""
    generator = np.random.default_rng(13)
    margin, simulations = 1.2, 300
    claim = Claim("c", "e", "f", "s", "p", "r", "m", "scale", margin)
    wrong: dict[str, list[bool]] = {"ignored": [], "dated": [], "left out": []}
    for _ in range(simulations):
        y, own, latest, batch, group = copied(generator, margin)
        once = np.bincount(group, minlength=len(group))[group] == 1
        items = np.arange(len(y))
        labels = components(len(y), (items, batch), (items, group))
        alone = np.unique(batch[once], return_inverse=True)[1]
        for name, chosen, place, clusters in (
            ("ignored", items, own, batch),
            ("dated", items, latest, labels),
            ("left out", once, own, alone),
        ):
            x, names = design(place[chosen])
            wrong[name].append(p_values(claim, linear(y[chosen], x, clusters, names).result("position"))[1] < 0.05)
    rate = {name: float(np.mean(found)) for name, found in wrong.items()}
    largest = 0.05 + 3 * math.sqrt(0.05 * 0.95 / simulations)
    assert rate["ignored"] > largest
    assert rate["dated"] <= largest
    assert rate["left out"] <= largest
