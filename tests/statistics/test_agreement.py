"""Labels and scores that tell others: values against known ones, intervals against the spread over repeated samples of clusters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from trajectories.statistics import agreement


def sample(generator: np.random.Generator, clusters: int = 120, size: int = 5) -> tuple[np.ndarray, ...]:
    """Two scores and a label that share a part within clusters."""
    labels = np.repeat(np.arange(clusters), size)
    shared = generator.standard_normal(clusters)[labels]
    a = shared + 0.5 * generator.standard_normal(len(labels))
    b = 0.8 * shared + 0.5 * generator.standard_normal(len(labels))
    return a, b, b > 0.9, labels


def test_values_are_those_of_scipy_and_of_counting() -> None:
    a, b, label, clusters = sample(np.random.default_rng(1))
    assert agreement.spearman(a, b, clusters).value == pytest.approx(stats.spearmanr(a, b).statistic)
    assert agreement.pearson(a, b, clusters).value == pytest.approx(np.corrcoef(a, b)[0, 1])
    pairs = a[label][:, None] - a[~label][None, :]
    assert agreement.auc(a, label, clusters).value == pytest.approx(np.mean(pairs > 0) + np.mean(pairs == 0) / 2)


def test_ties_count_half() -> None:
    found = agreement.auc(np.array([1.0] * 10), np.arange(10) < 5, np.arange(10))
    assert found.value == 0.5


@pytest.mark.parametrize("name", ["spearman", "pearson", "auc", "precision", "phi"])
def test_standard_errors_are_the_spread_over_repeated_samples_of_clusters(name: str) -> None:
    generator = np.random.default_rng(2)
    values, errors = [], []
    for _ in range(300):
        a, b, label, clusters = sample(generator)
        if name == "auc":
            found = agreement.auc(a, label, clusters)
        elif name in ("precision", "phi"):
            predicted = a > 0.5
            sums = np.stack([np.bincount(clusters, w) for w in (predicted, label, predicted & label)], axis=1)
            statistic = agreement.precision if name == "precision" else agreement.phi(len(a))
            found = agreement.of_sums(sums, statistic, len(a), "logit" if name == "precision" else "fisher")
        else:
            found = getattr(agreement, name)(a, b, clusters)
        values.append(found.value)
        errors.append(found.stderr)
        assert found.ci_low < found.value < found.ci_high
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.12)


def test_phi_is_the_correlation_of_labels() -> None:
    a, _, label, clusters = sample(np.random.default_rng(3))
    predicted = a > 0.5
    sums = np.stack([np.bincount(clusters, w) for w in (predicted, label, predicted & label)], axis=1)
    expected = np.corrcoef(predicted, label)[0, 1]
    assert agreement.of_sums(sums, agreement.phi(len(a)), len(a)).value == pytest.approx(expected)
    assert agreement.f1(sums.sum(axis=0)) == pytest.approx(2 * (predicted & label).sum() / (predicted.sum() + label.sum()))


def test_what_does_not_vary_has_no_correlation_and_few_units_no_area() -> None:
    nothing = np.zeros(10)
    assert np.isnan(agreement.spearman(nothing, np.arange(10.0), np.arange(10)).value)
    assert np.isnan(agreement.pearson(nothing, np.arange(10.0), np.arange(10)).value)
    assert np.isnan(agreement.auc(np.arange(10.0), np.arange(10) < 2, np.arange(10)).value)
    assert np.isnan(agreement.of_sums(np.zeros((4, 3)), agreement.precision, 4).value)
