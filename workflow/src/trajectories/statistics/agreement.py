"""How well one set of labels or scores tells another: precision, recall, area under the curve, correlations, with units in clusters.

Standard errors are those of linearised statistics summed over clusters, so a cluster's units may depend on each other in any way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from trajectories.statistics.intervals import CONF_LEVEL

LEAST = 5
"""With fewer units in either class no area and no interval of a ratio is given."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where there is none.

    Attributes:
        value, stderr, ci_low, ci_high: estimate, standard error, ends.
        n: units.
        method: name of the method.
    """

    value: float
    stderr: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    n: int = 0
    method: str = ""

    def row(self) -> dict[str, float | int | str]:
        """As a row of a table."""
        return {"value": self.value, "stderr": self.stderr, "ci_low": self.ci_low, "ci_high": self.ci_high, "n": self.n} | {
            "method": self.method
        }


def auc(score: np.ndarray, label: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Area under the ROC curve: the chance that a unit with the label scores higher than one without, ties counted half.

    The variance for clustered units is that of Obuchowski (1997, *Biometrics* 53), with the interval on the logit scale.

    Args:
        score, label, clusters: of each unit [n]; ``label`` is bool, ``clusters`` integers from 0.
    """
    label = np.asarray(label, dtype=bool)
    m, k = int(label.sum()), int((~label).sum())
    method = "Mann and Whitney's area, clustered (Obuchowski 1997)"
    if m < LEAST or k < LEAST:
        return Estimate(math.nan, n=len(label), method=method)
    area, influence = area_influence(score, label)
    stderr = _stderr(influence, clusters)
    return _bounded(area, stderr, len(label), method)


def area_influence(score: np.ndarray, label: np.ndarray) -> tuple[float, np.ndarray]:
    """Area under the ROC curve, and what each unit adds to its error [n] (DeLong et al. 1988, *Biometrics* 44).

    Args:
        score: of each unit [n].
        label: whether a unit belongs to the class that should score higher, bool [n]; both classes are there.
    """
    score, label = np.asarray(score, dtype=float), np.asarray(label, dtype=bool)
    m, k = int(label.sum()), int((~label).sum())
    ranks = stats.rankdata(score)
    part = np.empty(len(score))  # how a unit fares against those of the other class
    part[label] = (ranks[label] - stats.rankdata(score[label])) / k
    part[~label] = 1 - (ranks[~label] - stats.rankdata(score[~label])) / m
    area = float(part[label].mean())
    return area, np.where(label, (part - area) / m, (part - area) / k)


def spearman(a: np.ndarray, b: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Spearman's rank correlation, with the variance of its linearised form over clusters and the interval on Fisher's scale.

    Ranks depend on all units, so a unit's influence has, beside the product of its own ranks, what it adds to the others' ranks.
    """
    n, method = len(a), "Spearman, linearised over clusters, Fisher's scale"
    u, v = ((stats.rankdata(x) - 0.5) / n - 0.5 for x in (a, b))
    spread = math.sqrt(float((u**2).mean() * (v**2).mean())) if n else 0.0
    if n < 4 or spread == 0:
        return Estimate(math.nan, n=n, method=method)
    rho = float((u * v).mean() / spread)
    influence = (u * v + _above(a, v) + _above(b, u)) / spread
    stderr = _stderr((influence - influence.mean()) / n, clusters)
    return _fisher(rho, stderr, n, method)


def pearson(a: np.ndarray, b: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Pearson's correlation (phi for two labels), with the variance of its linearised form over clusters, on Fisher's scale."""
    n, method = len(a), "Pearson, linearised over clusters, Fisher's scale"
    x, y = (np.asarray(v, dtype=float) - np.mean(v) for v in (a, b))
    sx, sy = x.std(), y.std()
    if n < 4 or sx < 1e-12 or sy < 1e-12:
        return Estimate(math.nan, n=n, method=method)
    x, y = x / sx, y / sy
    rho = float((x * y).mean())
    influence = x * y - rho * (x**2 + y**2) / 2
    return _fisher(rho, _stderr(influence / n, clusters), n, method)


def of_sums(sums: np.ndarray, statistic: Callable[[np.ndarray], float], n: int, scale: str = "logit") -> Estimate:
    """A smooth function of sums over clusters, by the delta method with numeric derivatives.

    Args:
        sums: what each cluster adds to the totals [g, k].
        statistic: from totals [k] to a number.
        n: units.
        scale: of the interval: ``logit`` for a share, ``fisher`` for a correlation.
    """
    total = sums.sum(axis=0).astype(float)
    value, method = float(statistic(total)), "delta method over clusters"
    if not math.isfinite(value):
        return Estimate(math.nan, n=n, method=method)
    steps = np.maximum(np.abs(total), 1.0) * 1e-4
    shifts = np.eye(len(total)) * steps
    gradient = np.array([(statistic(total + s) - statistic(total - s)) / (2 * h) for s, h in zip(shifts, steps, strict=True)])
    g = len(sums)
    centred = (sums - total / g) @ gradient
    stderr = math.sqrt(g / max(g - 1, 1) * float(centred @ centred))
    return (_bounded if scale == "logit" else _fisher)(value, stderr, n, method)


def precision(totals: np.ndarray) -> float:
    """Share of the predicted that hold, from totals of predicted, true, both."""
    return float(totals[2] / totals[0]) if totals[0] > 0 else math.nan


def recall(totals: np.ndarray) -> float:
    """Share of the true that were predicted, from totals of predicted, true, both."""
    return float(totals[2] / totals[1]) if totals[1] > 0 else math.nan


def f1(totals: np.ndarray) -> float:
    """Harmonic mean of precision and recall, from totals of predicted, true, both."""
    return float(2 * totals[2] / (totals[0] + totals[1])) if totals[0] + totals[1] > 0 else math.nan


def phi(n: float) -> Callable[[np.ndarray], float]:
    """Correlation of two labels of ``n`` units, as a function of totals of predicted, true, both."""

    def statistic(totals: np.ndarray) -> float:
        a, b, both = totals / n
        spread = a * (1 - a) * b * (1 - b)
        return float((both - a * b) / math.sqrt(spread)) if spread > 0 else math.nan

    return statistic


def _above(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each unit the mean, over all units, of ``other`` where their x is at least the unit's (ties half)."""
    order = np.argsort(x, kind="stable")
    ordered, values = np.asarray(x)[order], other[order]
    total = np.concatenate([[0.0], np.cumsum(values)])
    first, last = np.searchsorted(ordered, x, "left"), np.searchsorted(ordered, x, "right")
    return (total[-1] - (total[first] + total[last]) / 2) / len(x)


def _stderr(influence: np.ndarray, clusters: np.ndarray) -> float:
    sums = np.bincount(clusters, weights=influence)
    g = len(np.unique(clusters))
    return math.sqrt(g / (g - 1) * float(sums @ sums)) if g > 1 else math.nan


def _bounded(value: float, stderr: float, n: int, method: str) -> Estimate:
    """The interval of a share on the logit scale; none at 0 or 1, where the linearised error says nothing."""
    if not 0 < value < 1 or not stderr > 0:
        return Estimate(value, n=n, method=method)
    reach = _reach() * stderr / (value * (1 - value))
    low, high = special.expit(special.logit(value) + np.array([-reach, reach]))
    return Estimate(value, stderr, float(low), float(high), n, method)


def _fisher(value: float, stderr: float, n: int, method: str) -> Estimate:
    if not abs(value) < 1 - 1e-12 or not stderr > 0:
        return Estimate(value, n=n, method=method)
    reach = _reach() * stderr / (1 - value**2)
    low, high = np.tanh(np.arctanh(value) + np.array([-reach, reach]))
    return Estimate(value, stderr, float(low), float(high), n, method)


def _reach() -> float:
    return float(special.ndtri((1 + CONF_LEVEL) / 2))
