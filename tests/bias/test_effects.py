"""Estimates with clusters: against peers, and intervals that hold on simulated data of known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.metrics import roc_auc_score
from trajectories.experiments.bias import effects, hypotheses
from trajectories.experiments.bias.parts.prompts import binormal
from trajectories.experiments.bias.settings import AnalyseSettings
from trajectories.statistics import claims as decisions
from trajectories.statistics.claims import Result
from trajectories.statistics.intervals import cluster_jackknife


def test_areas_equal_scikit_learn_and_their_difference_is_that_of_both() -> None:
    generator = np.random.default_rng(1)
    label, pairs = np.tile([True, False], 60), np.repeat(np.arange(60), 2)
    one, two = (binormal(generator, wanted, label, pairs, pairs) for wanted in (0.7, 0.6))
    assert effects.area(one, label, pairs).estimate == pytest.approx(roc_auc_score(label, one))
    difference = effects.area_difference(one, two, label, pairs)
    assert difference.estimate == pytest.approx(roc_auc_score(label, one) - roc_auc_score(label, two))
    assert effects.area_difference(one, one, label, pairs).stderr == 0


def test_simulated_scores_have_the_wanted_area_though_clusters_differ_in_it() -> None:
    generator, pairs = np.random.default_rng(3), np.repeat(np.arange(4000), 2)
    label, clusters = np.tile([True, False], 4000), np.repeat(np.arange(400), 20)
    score = binormal(generator, 0.7, label, pairs, clusters)
    assert effects.area(score, label, clusters).estimate == pytest.approx(0.7, abs=0.015)
    distance = pd.Series(score[label] - score[~label]).groupby(clusters[label]).mean()
    assert distance.var() == pytest.approx(0.1 + 2 * 0.5 / 10, abs=0.04)


def test_means_of_lone_units_have_students_interval() -> None:
    values = np.random.default_rng(2).standard_normal(30)
    found = effects.mean(values, np.arange(30))
    assert (found.estimate, found.stderr) == pytest.approx((values.mean(), stats.sem(values)))
    assert effects.row(effects.mean(np.ones(30), np.arange(30)))["ci_low"] is not None
    assert np.isnan(effects.row(effects.mean(np.ones(30), np.arange(30)))["ci_low"])


def test_a_cluster_that_holds_most_units_does_not_hide_in_the_mean() -> None:
    clusters = np.repeat(np.arange(13), [60] + [5] * 12)
    generator = np.random.default_rng(4)
    found = [effects.mean(generator.standard_normal(13)[clusters], clusters) for _ in range(2000)]
    assert np.mean([r.ci_low <= 0 <= r.ci_high for r in found]) >= 0.85  # of 0.9; the influences alone give 0.67
    values = generator.standard_normal(120)
    assert found[0].n_clusters == 13
    assert effects.mean(values, clusters).stderr == pytest.approx(cluster_jackknife(lambda m: float(values[m].mean()), clusters)[1])


def test_words_that_decide_pairs_are_no_preference_and_no_difference_of_categories() -> None:
    """Each category has one word that most of its pairs differ in, as CrowS-Pairs' have; no word has to do with stereotypes."""
    category = np.repeat(["a", "b", "c"], 120)
    word = np.concatenate([1000 * k + np.repeat(np.arange(13), [60] + [5] * 12) for k in range(3)])
    clusters, generator = np.unique(word, return_inverse=True)[1], np.random.default_rng(5)
    claims = hypotheses.claims(AnalyseSettings())
    verdicts: dict[str, list[str]] = {"stereotypes-preferred": [], "categories-differ": []}
    for _ in range(200):
        values = generator.standard_normal(clusters.max() + 1)[clusters] + generator.standard_normal(len(word))
        results = (effects.share(values > 0, clusters, less=0.5), effects.spread(values / values.std(), category, clusters))
        for (name, found), result in zip(verdicts.items(), results, strict=True):
            found.append(decisions.decide([decisions.row(claims[name], result, "m", 0)])[0][0])
    assert all(np.mean(np.array(found) == decisions.SUPPORTED) <= 0.08 for found in verdicts.values())


def test_slopes_agree_with_statsmodels() -> None:
    generator = np.random.default_rng(3)
    clusters, x = np.repeat(np.arange(30), 4), np.repeat(generator.standard_normal(30), 4)
    y = 2 * x + np.repeat(generator.standard_normal(30), 4) + generator.standard_normal(120)
    design = sm.add_constant(x)
    peer = sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    found = effects.coefficient(y, design, np.array([0.0, 1.0]), clusters)
    assert found.estimate == pytest.approx(peer.params[1])
    assert 1 < found.stderr / peer.bse[1] < 1.25  # the jackknife errs on the safe side


def covered(results: list[Result], truth: float) -> tuple[float, float]:
    """Shares of one-sided 95 % bounds that the truth lies beyond."""
    return float(np.mean([r.ci_low > truth for r in results])), float(np.mean([r.ci_high < truth for r in results]))


def test_dyadic_errors_hold_where_plain_ones_do_not() -> None:
    generator = np.random.default_rng(4)
    first, second = np.triu_indices(20, 1)
    kept = generator.random(len(first)) < 0.5
    first, second = first[kept], second[kept]
    results, plain = [], []
    for _ in range(400):
        parts = generator.standard_normal(20)
        values = parts[first] + parts[second] + generator.standard_normal(len(first))
        results.append(effects.dyadic_mean(values, first, second))
        plain.append(effects.mean(values, np.arange(len(values))))
    assert max(covered(results, 0.0)) < 0.095
    assert min(covered(plain, 0.0)) > 0.15


@pytest.mark.parametrize("truth", [0.0, 0.3])
def test_the_spread_of_categories_is_bounded_at_its_level_whatever_their_variances(truth: float) -> None:
    generator = np.random.default_rng(5)
    sizes, deviations = np.array([12, 25, 60, 30]), np.array([2.0, 0.7, 1.0, 1.5])
    direction = np.array([1.0, -1.0, 0.5, -0.6])
    direction -= np.average(direction, weights=sizes)
    direction *= truth / np.sqrt(np.average(direction**2, weights=sizes))
    category = np.repeat(np.arange(4), sizes)
    results = [
        effects.spread(
            (direction + 0.0)[category] + deviations[category] * generator.standard_normal(sizes.sum()), category, np.arange(sizes.sum())
        )
        for _ in range(400)
    ]
    above, below = covered(results, truth)
    assert above < 0.085  # of 400 at 5 %, 34 are beyond three standard errors
    assert below < 0.085
    if truth:
        assert np.mean([r.ci_low > 0 for r in results]) > 0.3


def test_too_few_clusters_give_no_interval() -> None:
    assert not effects.mean(np.arange(8.0), np.repeat(np.arange(4), 2)).finite
    assert effects.spread(np.arange(8.0), np.repeat(["a", "b"], 4), np.arange(8)).problem is not None
