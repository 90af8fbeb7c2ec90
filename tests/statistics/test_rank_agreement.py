"""Agreement of rankings: known values, and the size and power of the tests on simulated rankings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from trajectories.statistics import rank_agreement as agreement


def test_perfect_agreement_is_one_and_opposite_rankings_cancel() -> None:
    order = np.arange(6.0)
    assert agreement.kendalls_w(np.stack([order, order * 2])) == pytest.approx(1)
    assert agreement.kendalls_w(np.stack([order, -order])) == pytest.approx(0)


def test_kendalls_w_with_ties_has_its_value_by_hand() -> None:
    # ranks 1 2.5 2.5 4 and 1 2 3 4: sums 2 4.5 5.5 8, S = 18.5; T = 6 for the first judge
    values = np.array([[1, 2, 2, 3], [1, 2, 3, 4]])
    assert agreement.kendalls_w(values) == pytest.approx(12 * 18.5 / (4 * 60 - 2 * 6))


def test_kendalls_w_follows_from_friedmans_statistic() -> None:
    values = np.random.default_rng(1).integers(0, 5, size=(4, 9)).astype(float)
    chi2 = stats.friedmanchisquare(*values.T).statistic
    assert agreement.kendalls_w(values) == pytest.approx(chi2 / (4 * 8))


def test_censored_things_share_a_rank() -> None:
    assert agreement.ranks(np.array([np.inf, 3.0, np.inf, 1.0])).tolist() == [3.5, 2.0, 3.5, 1.0]


def test_spearmans_rho_agrees_with_scipy_also_with_ties() -> None:
    a, b = np.random.default_rng(2).integers(0, 4, size=(2, 30)).astype(float)
    assert agreement.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)


def test_all_tied_rankings_have_no_correlation_and_no_concordance() -> None:
    assert np.isnan(agreement.spearman(np.ones(5), np.arange(5)))
    assert np.isnan(agreement.kendalls_w(np.ones((3, 5))))
    assert np.isnan(agreement.permutation_w(np.ones((3, 5)), 100, np.random.default_rng(3)))


def test_a_third_quantity_that_explains_all_leaves_no_partial_correlation() -> None:
    random = np.random.default_rng(4)
    cause = random.normal(size=400)
    a, b = cause + 0.3 * random.normal(size=(2, 400))
    assert agreement.spearman(a, b) > 0.8
    assert abs(agreement.partial_spearman(a, b, cause)) < 0.15


def test_the_consensus_leaves_the_judge_itself_out() -> None:
    values = np.array([[1.0, 2, 3], [3, 2, 1], [1, 2, 3]])
    assert agreement.consensus(values)[1].tolist() == [1, 2, 3]
    assert agreement.consensus(values)[0].tolist() == [2, 2, 2]


def test_the_permutation_test_of_w_keeps_its_size_and_has_power() -> None:
    random = np.random.default_rng(5)
    null = [agreement.permutation_w(np.clip(random.normal(size=(3, 15)), -0.5, None), 199, random) for _ in range(400)]
    assert np.mean(np.array(null) <= 0.05) == pytest.approx(0.05, abs=0.03)
    common = [agreement.permutation_w(1.5 * random.normal(size=15) + random.normal(size=(3, 15)), 199, random) for _ in range(100)]
    assert np.mean(np.array(common) <= 0.05) > 0.8


def test_the_pairwise_test_keeps_its_size_and_has_power() -> None:
    random, rejected, detected = np.random.default_rng(6), [], []
    for _ in range(300):
        rho, p = agreement.pairwise(np.clip(random.normal(size=(2, 20)), -0.5, None), 199, random)
        rejected.append(p[0, 1] <= 0.05)
        assert np.isnan(p[0, 0])
        assert p[0, 1] == p[1, 0]
        assert rho[0, 0] == pytest.approx(1)
        _, p = agreement.pairwise(1.5 * random.normal(size=20) + random.normal(size=(2, 20)), 199, random)
        detected.append(p[0, 1] <= 0.05)
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.03)
    assert np.mean(detected) > 0.8


def test_perfect_agreement_keeps_an_interval_and_one_odd_family_does_not_make_it_infinite() -> None:
    clusters, order = np.repeat(np.arange(6), 3), np.arange(18.0)
    z, stderr, df = agreement.fisher(lambda m: agreement.spearman(order[m], order[m]), clusters)
    assert np.isfinite(z)
    assert (stderr, df) == (pytest.approx(1.03 / 15**0.5), 5)
    odd = order.copy()
    odd[:3] = odd[:3][::-1]
    z, stderr, _ = agreement.fisher(lambda m: agreement.spearman(order[m], odd[m]), clusters)
    assert 0.6 < np.tanh(z - 2 * stderr) < 0.99


def test_the_interval_of_a_correlation_covers_the_truth_when_families_are_ranked_alike() -> None:
    random, clusters = np.random.default_rng(7), np.repeat(np.arange(13), [2, 7, 7, 5, 8, 2, 7, 2, 8, 7, 4, 2, 6])
    truth, latent, covered = 0.5, 2 * np.sin(np.pi * 0.5 / 6), []
    for _ in range(400):
        x, noise = (0.55 * random.normal(size=13)[clusters] + 0.835 * random.normal(size=67) for _ in range(2))
        y = latent * x + (1 - latent**2) ** 0.5 * noise
        z, stderr, df = agreement.fisher(lambda m: agreement.spearman(x[m], y[m]), clusters)  # noqa: B023
        covered.append(abs(z - np.arctanh(truth)) <= stats.t.ppf(0.975, df) * stderr)
    assert 0.92 <= np.mean(covered) <= 0.995


def test_the_mean_partial_correlation_is_that_of_the_pairs_and_falls_away_with_what_is_given() -> None:
    generator = np.random.default_rng(11)
    hard = generator.standard_normal(40)
    own = generator.standard_normal(40)
    values = np.stack([hard + own + 0.3 * generator.standard_normal(40) for _ in range(3)])
    given = np.tile(hard, (3, 1))
    mean, p = agreement.mean_partial(values, given, 500, generator)
    pairs = [agreement.partial_spearman(values[i], values[j], hard) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert mean == pytest.approx(np.mean(pairs))
    assert p < 0.01
    rates = []
    for _ in range(200):
        alone = np.stack([hard + generator.standard_normal(40) for _ in range(3)])
        rates.append(agreement.mean_partial(alone, given, 99, generator)[1] <= 0.05)
    assert np.mean(rates) <= 0.10
