"""Intervals for proportions, for means over strata, and for statistics of clustered units.

Where an interval says "for these pairs of these paradigms", pairs are the sample (:func:`wilson`, :func:`mean`, :func:`stratified_mean`).
Where it says "for paradigms like these", whole clusters of paradigms are (:func:`cluster_jackknife`, :func:`cluster_bootstrap`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

CONF_LEVEL = 0.95


def wilson(events: np.ndarray, n: np.ndarray, conf_level: float = CONF_LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion (Wilson 1927, *J. Am. Stat. Assoc.* 22), elementwise.

    Args:
        events: how often it happened; need not be whole (a published accuracy times its n).
        n: of how many independent trials, broadcast against ``events``.
        conf_level: two-sided level.

    Returns:
        Lower and upper ends, within [0, 1]; NaN where ``n`` is 0.
    """
    events, n = (np.array(a) for a in np.broadcast_arrays(np.asarray(events, dtype=float), np.asarray(n, dtype=float)))
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = proportion_confint(events, n, alpha=1 - conf_level, method="wilson")
    return np.where(events == 0, np.where(n == 0, np.nan, 0.0), low), np.where(events == n, np.where(n == 0, np.nan, 1.0), high)


def binomial_mid_p(events: float, n: float, value: float) -> float:
    """Mid-p of H0: proportion ≤ ``value`` (Lancaster 1961, *J. Am. Stat. Assoc.* 56); events and n need not be whole."""
    value = min(max(value, 0.0), 1.0)
    or_more = stats.beta.cdf(value, events, n - events + 1) if events > 0 else 1.0
    more = stats.beta.cdf(value, events + 1, n - events) if events < n else 0.0
    return float((or_more + more) / 2)


def binomial_bound(events: float, n: float, tail: float) -> float:
    """The proportion at which :func:`binomial_mid_p` is ``tail``; 0 or 1 where it is above or below ``tail`` throughout."""
    if binomial_mid_p(events, n, 0) >= tail:
        return 0.0
    if binomial_mid_p(events, n, 1) <= tail:
        return 1.0
    return float(optimize.brentq(lambda value: binomial_mid_p(events, n, value) - tail, 0, 1, xtol=1e-10))


def mean(values: np.ndarray, axis: int = -1, conf_level: float = CONF_LEVEL) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean of independent values with Student's interval along an axis: mean, standard error, lower and upper end.

    With a single value there is no standard error: it and the ends are NaN.
    """
    values = np.asarray(values, dtype=float)
    n = values.shape[axis]
    centre = values.mean(axis)
    stderr = values.std(axis, ddof=1) / np.sqrt(n) if n > 1 else np.full_like(centre, np.nan)
    reach = stats.t.ppf((1 + conf_level) / 2, max(n - 1, 1)) * stderr
    return centre, stderr, centre - reach, centre + reach


def t_interval(estimate: float, stderr: float, df: float, conf_level: float = CONF_LEVEL) -> tuple[float, float]:
    """Student's interval around an estimate; NaN where there is no standard error."""
    reach = stats.t.ppf((1 + conf_level) / 2, df) * stderr if df > 0 else np.nan
    return estimate - reach, estimate + reach


def stratified_mean(
    values: np.ndarray, low: np.ndarray, high: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted mean of independently estimated strata, its interval recovered from theirs.

    The distances from each stratum's estimate to the ends of its interval are added in squares, for the lower and the upper end by
    themselves (MOVER: Zou and Donner 2008, *Stat. Med.* 27, equation 5). The interval stays within the strata's bounds and keeps a width
    where every stratum is at 0 or 1, which adding up binomial variances does not.

    Args:
        values, low, high: ``[..., strata]``: estimates and ends of their intervals, all of one level.
        weights: ``[groups, strata]``, each row adding up to 1.

    Returns:
        Mean, lower and upper end: ``[..., groups]``.
    """
    weights = np.asarray(weights, dtype=float)
    centre = values @ weights.T
    below = np.sqrt(np.square(values - low) @ np.square(weights).T)
    above = np.sqrt(np.square(high - values) @ np.square(weights).T)
    return centre, centre - below, centre + above


def resample_counts(n: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """How often each of ``n`` units stands in each of ``draws`` resamples with replacement: ``[draws, n]``, float32, rows add up to n."""
    picks = generator.integers(0, n, size=(draws, n))
    flat = picks + n * np.arange(draws)[:, None]
    return np.bincount(flat.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float32)


def cluster_bootstrap(values: np.ndarray, clusters: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Replicates of the mean of ``values`` when whole clusters are resampled (Davison and Hinkley 1997, section 3.8).

    Args:
        values: ``[..., units]``.
        clusters: ``[units]``, the label of each unit's cluster.
        draws: number of resamples.
        generator: source of randomness.

    Returns:
        ``[draws, ...]``: the mean over units of each resample. Clusters of different size make samples of different size.
    """
    values = np.asarray(values, dtype=float)
    member = one_hot(clusters)
    sums, sizes = values @ member, member.sum(0)
    counts = resample_counts(len(sizes), draws, generator).astype(float)
    totals = np.moveaxis(sums @ counts.T, -1, 0)
    return totals / (counts @ sizes).reshape(-1, *[1] * (totals.ndim - 1))


def one_hot(labels: np.ndarray) -> np.ndarray:
    """``[units, clusters]``: 1 where a unit belongs to a cluster; clusters sorted by label."""
    _, index = np.unique(np.asarray(labels), return_inverse=True)
    return np.eye(index.max() + 1)[index]


def cluster_jackknife(statistic: Callable[[np.ndarray], float], clusters: np.ndarray) -> tuple[float, float, int]:
    """A statistic with the standard error of the delete-one-cluster jackknife.

    ``stderr² = (G − 1)/G · Σ (θ₍₋g₎ − θ)²`` over the G clusters, to be used with Student's t at G − 1 degrees of freedom: of the usual
    cluster-robust errors it is the one that errs on the safe side with few clusters of unequal size (MacKinnon, Nielsen and Webb 2023,
    *J. Appl. Econom.* 38, CV3J centred at the estimate).

    Args:
        statistic: from a mask of the units to be used (bool ``[units]``) to a number.
        clusters: ``[units]``, labels.

    Returns:
        Estimate, standard error (NaN with fewer than two clusters, or if the statistic fails without one of them), degrees of freedom.
    """
    clusters = np.asarray(clusters)
    labels = np.unique(clusters)
    estimate = float(statistic(np.ones(len(clusters), dtype=bool)))
    if len(labels) < 2:
        return estimate, float("nan"), max(len(labels) - 1, 0)
    without = np.array([statistic(clusters != label) for label in labels], dtype=float)
    groups = len(labels)
    return estimate, float(np.sqrt((groups - 1) / groups * np.square(without - estimate).sum())), groups - 1
