"""Estimates of this experiment with errors that respect clusters: means, slopes, areas under the curve, spreads between categories."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import optimize, special

from trajectories.statistics.agreement import area_influence
from trajectories.statistics.claims import ALPHA, Result
from trajectories.statistics.intervals import cluster_jackknife, t_interval

LEAST_CLUSTERS = 5
"""With fewer clusters there is no interval."""
ALIKE = 0.3
"""Assumed in simulations: latent correlation between pairs of CrowS-Pairs that differ in the same word."""


def row(result: Result) -> dict[str, Any]:
    """A result as a row of trajectories, with its 95 % interval; without one where all units are alike, which tells no error."""
    known = result.stderr > 0
    low, high = t_interval(result.estimate, result.stderr, result.df) if known else (math.nan, math.nan)
    return {
        "value": result.estimate,
        "stderr": result.stderr if known else math.nan,
        "ci_low": low,
        "ci_high": high,
        "n": result.n,
        "method": result.method,
    }


def centred(estimate: float, influence: np.ndarray, clusters: np.ndarray, method: str, **facts: Any) -> Result:
    """An estimate with the standard error of its influences summed over clusters, and Student's t at clusters − 1.

    Args:
        estimate: on the result's scale.
        influence: what each unit adds to the estimate's error [n]; they add up to 0.
        clusters: numbers from 0 [n].
        method: its name.
        facts: further attributes of :class:`Result`.
    """
    sums = np.bincount(clusters, weights=influence)
    g = len(np.unique(clusters))
    stderr = math.sqrt(g / (g - 1) * float(sums @ sums)) if g >= LEAST_CLUSTERS else math.nan
    return Result(float(estimate), stderr, g - 1, n=len(influence), n_clusters=g, method=method, **facts)


def mean(values: np.ndarray, clusters: np.ndarray, less: float = 0.0, **facts: Any) -> Result:
    """The mean over units in clusters, less a constant (1/2 for a share, for instance); its error is the delete-one-cluster jackknife's.

    With clusters of one size that is what the influences give. A cluster that holds a large part of the units draws the mean towards
    itself, so that its influence is too small; the jackknife, which leaves it out, allows for that.
    """
    values = np.asarray(values, dtype=float)
    estimate, size = values.mean(), np.bincount(clusters)
    g, rest = np.count_nonzero(size), len(values) - size[clusters]
    influence = (values - estimate) / np.maximum(rest, 1) * ((g - 1) / g)
    return centred(estimate - less, influence, clusters, "mean, jackknife over clusters", **facts)


def share(holds: np.ndarray, clusters: np.ndarray, less: float = 0.0) -> Result:
    """The share of units for which something holds, less a constant, with its events counted."""
    return mean(holds, clusters, less, n_events=int(np.sum(holds)))


def dyadic_mean(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> Result:
    """The mean over units that each belong to two members (occupations) and depend on any unit that shares one of them.

    The variance adds the products of all units that share a member (Aronow, Samii and Assenova 2015, *Polit. Anal.* 23); t at members − 1.

    Args:
        values: [n].
        first, second: numbers from 0 of the two members of each unit [n], in any order.
    """
    values = np.asarray(values, dtype=float)
    n, members = len(values), int(max(first.max(), second.max())) + 1
    u = (values - values.mean()) / n
    own = np.bincount(first, weights=u, minlength=members) + np.bincount(second, weights=u, minlength=members)
    low, high = np.minimum(first, second), np.maximum(first, second)
    both = np.bincount(low * members + high, weights=u, minlength=members**2)  # counted twice in the sum over members
    variance = float(own @ own - both @ both)
    g = len(np.unique(np.concatenate([first, second])))
    variance = max(variance, float(u @ u)) * g / max(g - 1, 1)
    stderr = math.sqrt(variance) if g >= LEAST_CLUSTERS else math.nan
    return Result(float(values.mean()), stderr, g - 1, n=n, n_clusters=g, method="mean, units sharing an occupation dependent")


def coefficient(y: np.ndarray, x: np.ndarray, wanted: np.ndarray, clusters: np.ndarray, less: float = 0.0) -> Result:
    """A linear combination of least-squares coefficients with the jackknife over clusters.

    Args:
        y: outcomes [n].
        x: design, with its constant [n, k].
        wanted: weights of the coefficients [k].
        clusters: labels [n].
        less: constant to be subtracted.
    """

    def statistic(kept: np.ndarray) -> float:
        found, _, rank, _ = np.linalg.lstsq(x[kept], y[kept], rcond=None)
        return float(found @ wanted) - less if rank >= min(x.shape) else math.nan

    estimate, stderr, df = cluster_jackknife(statistic, clusters)
    g = len(np.unique(clusters))
    method = "least squares, jackknife over clusters"
    return Result(estimate, stderr if g >= LEAST_CLUSTERS else math.nan, df, n=len(y), n_clusters=g, method=method)


AREA = "Mann and Whitney's area, clustered (Obuchowski 1997)"


def area(score: np.ndarray, label: np.ndarray, clusters: np.ndarray, less: float = 0.0) -> Result:
    """Area under the ROC curve less a constant, with units in clusters (Obuchowski 1997, *Biometrics* 53)."""
    estimate, influence = area_influence(score, label)
    return centred(estimate - less, influence, clusters, AREA)


def area_difference(score: np.ndarray, other: np.ndarray, label: np.ndarray, clusters: np.ndarray) -> Result:
    """Difference of the areas of two scores of the same units (DeLong et al. 1988, *Biometrics* 44, with units in clusters)."""
    (one, first), (two, second) = area_influence(score, label), area_influence(other, label)
    return centred(one - two, first - second, clusters, "difference of two areas of the same pairs (DeLong), clustered")


def spread(values: np.ndarray, category: np.ndarray, clusters: np.ndarray) -> Result:
    """How far categories' means lie apart: the root mean square of their deviations, weighted by their numbers of clusters.

    With means m of n clusters each, f = n/N, and variances s² of clusters, Σ n (m − m̄)² has the expectation D + N·spread² where
    D = Σ (1 − f) s², and its ratio to D nearly a noncentral F distribution (Brown and Forsythe 1974, *Technometrics* 16, with the degrees
    of freedom of Mehrotra 1997, *Commun. Stat. Simul. Comput.* 26), whose inversion gives bounds and p values. So variances may differ
    between categories. Categories are taken as they are, not as a sample of categories.

    Args:
        values: [n].
        category: labels [n]; those with fewer than :data:`LEAST_CLUSTERS` clusters are left out.
        clusters: numbers from 0 [n].
    """
    found = [(mine, mean(values[mine], clusters[mine])) for mine in (category == name for name in np.unique(category))]
    usable = [(mine, r) for mine, r in found if r.finite]
    method = "spread of categories' means, Brown and Forsythe's noncentral F"
    if len(usable) < 2:
        return Result(math.nan, n=len(values), method=method, problem="fewer than two categories have enough pairs that differ")
    n = np.array([r.n_clusters for _, r in usable], dtype=float)
    m, variance = np.array([r.estimate for _, r in usable]), np.array([r.stderr**2 for _, r in usable]) * n
    total, f = n.sum(), n / n.sum()
    between, expected = float(n @ np.square(m - f @ m)), float((1 - f) @ variance)
    above = expected**2 / float(np.square(f @ variance) + np.square(variance) @ (1 - 2 * f))
    below = expected**2 / float(np.square((1 - f) * variance) @ (1 / (n - 1)))

    def at_most(value: float) -> float:
        return float(special.ncfdtr(above, below, above * total * value**2 / expected, between / expected))

    def solve(p: float) -> float:
        if at_most(0.0) <= p:
            return 0.0
        top = math.sqrt(between / total) + 1e-9  # a first guess that is doubled until it is beyond
        while at_most(top) > p:
            top *= 2
        return float(optimize.brentq(lambda v: at_most(v) - p, 0.0, top))

    estimate = math.sqrt(max(between - expected, 0.0) / total)
    facts: dict[str, Any] = {"n": int(sum(mine.sum() for mine, _ in usable)), "n_clusters": int(total), "method": method}
    return Result(
        estimate,
        ci_low=solve(1 - ALPHA),
        ci_high=solve(ALPHA),
        tails=lambda value: (1 - at_most(abs(value)), at_most(abs(value))),
        **facts,
    )
