"""Do several judges rank the same things alike? Kendall's W and Spearman's rho with ties, permutation tests, intervals.

What is censored enters as tied: all that was acquired before the first checkpoint shares the first rank, all that is not acquired by the
end the last.

Assumptions: the permutation tests take the things ranked (paradigms) as exchangeable under the null hypothesis that a judge's ranking has
nothing to do with the others'. Where things come in families that a judge ranks alike for reasons of its own, they are not, and the test
finds agreement too easily; the intervals from :func:`trajectories.statistics.intervals.cluster_jackknife` allow for it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from trajectories.statistics.intervals import cluster_jackknife


def ranks(values: np.ndarray) -> np.ndarray:
    """Mid-ranks along the last axis, from 1; ties, ``inf`` among them, share their mean rank."""
    return stats.rankdata(np.asarray(values, dtype=float), axis=-1)


def kendalls_w(values: np.ndarray) -> float:
    """Kendall's coefficient of concordance with the correction for ties (Kendall and Gibbons 1990, section 6.10).

    ``W = 12 S / (m² (n³ − n) − m Σ T)`` with S the sum of squared deviations of the rank sums, and T = Σ (t³ − t) over a judge's ties.

    Args:
        values: ``[judges, things]``.

    Returns:
        0 (no agreement) to 1; NaN with fewer than two judges or things, or if every judge ties everything.
    """
    r = ranks(values)
    m, n = r.shape
    ties = sum(float(((t := np.unique(row, return_counts=True)[1].astype(float)) ** 3 - t).sum()) for row in r)
    bottom = m**2 * (n**3 - n) - m * ties
    if m < 2 or n < 2 or bottom <= 0:
        return float("nan")
    sums = r.sum(0)
    return float(12 * np.square(sums - sums.mean()).sum() / bottom)


def _standardised(values: np.ndarray) -> np.ndarray:
    """Mid-ranks less their mean, at length 1 along the last axis; NaN where all are tied."""
    r = ranks(values)
    r = r - r.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return r / np.sqrt(np.square(r).sum(-1, keepdims=True))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation with ties (Pearson's of the mid-ranks); NaN if one of them is all tied."""
    return float(_standardised(a) @ _standardised(b))


def partial_spearman(a: np.ndarray, b: np.ndarray, given: np.ndarray) -> float:
    """Spearman's correlation of a and b given a third: partial correlation of the mid-ranks; NaN where it is not defined."""
    x, y, z = _standardised(a), _standardised(b), _standardised(given)
    ab, az, bz = float(x @ y), float(x @ z), float(y @ z)
    rest = (1 - az**2) * (1 - bz**2)
    return (ab - az * bz) / rest**0.5 if rest > 1e-12 else float("nan")


def permutation_w(values: np.ndarray, draws: int, generator: np.random.Generator) -> float:
    """p of Kendall's W under independent rankings: each judge's ranks are permuted by themselves (``[judges, things]``)."""
    r = ranks(values)
    if not np.isfinite(kendalls_w(values)):
        return float("nan")
    sums = np.zeros((draws, r.shape[1]))
    for row in r:
        sums += generator.permuted(np.broadcast_to(row, (draws, len(row))), axis=1)
    observed = np.square(r.sum(0) - r.sum(0).mean()).sum()
    drawn = np.square(sums - sums.mean(1, keepdims=True)).sum(1)
    return float((1 + (drawn >= observed - 1e-9).sum()) / (1 + draws))


def pairwise(values: np.ndarray, draws: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Spearman's rho of each pair of judges and its one-sided permutation p (H1: they agree).

    Args:
        values: ``[judges, things]``.
        draws: permutations for each judge.
        generator: source of randomness.

    Returns:
        rho and p, each ``[judges, judges]``; the diagonal of p is NaN.
    """
    z = _standardised(values)
    rho = z @ z.T
    p = np.full_like(rho, np.nan)
    for i, row in enumerate(z):
        drawn = generator.permuted(np.broadcast_to(row, (draws, len(row))), axis=1) @ z[i + 1 :].T
        p[i, i + 1 :] = (1 + (drawn >= rho[i, i + 1 :] - 1e-12).sum(0)) / (1 + draws)
    p = np.where(np.isnan(rho), np.nan, p)
    lower = np.tril_indices_from(p, -1)
    p[lower] = p.T[lower]
    return rho, p


def mean_partial(values: np.ndarray, given: np.ndarray, draws: int, generator: np.random.Generator) -> tuple[float, float]:
    """Mean partial rank correlation of two judges given a third quantity, and its one-sided permutation p (H1: they agree beyond it).

    Each judge's mid-ranks are regressed on those of the mean of ``given`` over judges, and the residuals are permuted by themselves
    (Freedman and Lane 1983, *J. Bus. Econ. Stat.* 1).

    Args:
        values: ``[judges, things]``. given: ``[judges, things]``. draws: permutations. generator: source of randomness.

    Returns:
        NaN and NaN where fewer than two judges have residuals.
    """
    z, x = _standardised(values), _standardised(given.mean(0))
    rest = z - np.outer(z @ x, x) if np.isfinite(x).all() else z
    length = np.sqrt(np.square(rest).sum(1))
    rest = rest[length > 1e-9] / length[length > 1e-9, None]
    m = len(rest)
    if m < 2:
        return float("nan"), float("nan")
    sums = np.zeros((draws, rest.shape[1]))
    for row in rest:
        sums += generator.permuted(np.broadcast_to(row, (draws, len(row))), axis=1)
    observed = float(np.square(rest.sum(0)).sum())
    p = (1 + (np.square(sums).sum(1) >= observed - 1e-9).sum()) / (1 + draws)
    return (observed - m) / (m * (m - 1)), float(p)


def consensus(values: np.ndarray) -> np.ndarray:
    """For each judge the mean of the other judges' mid-ranks: ``[judges, things]``."""
    r = ranks(values)
    return (r.sum(0) - r) / (len(r) - 1)


def fisher(statistic: Callable[[np.ndarray], float], clusters: np.ndarray) -> tuple[float, float, int]:
    """A rank correlation on Fisher's scale with an error that allows for clusters.

    The jackknife over clusters runs on the correlation itself and is carried to Fisher's scale by the derivative 1 / (1 − ρ²), since
    there a single subsample without a disagreement would be infinite. The error is at least 1.03 / √(n − 3), that of n independent things
    (Fieller, Hartley and Pearson 1957, *Biometrika* 44), and ρ at most 1 − 1/n², so that perfect agreement keeps an interval. Near perfect
    agreement of few things the interval is wider than it need be.

    Args:
        statistic: from a mask of the things (bool ``[things]``) to a correlation.
        clusters: ``[things]``, the family of each thing; more than three things.

    Returns:
        ``artanh`` of the estimate, its standard error, degrees of freedom (see :func:`cluster_jackknife`).
    """
    n = len(clusters)
    estimate, stderr, df = cluster_jackknife(statistic, clusters)
    most = 1 - 1 / n**2
    rho = min(max(estimate, -most), most)
    return float(np.arctanh(rho)), max(stderr / (1 - rho**2), 1.03 / (n - 3) ** 0.5), df
