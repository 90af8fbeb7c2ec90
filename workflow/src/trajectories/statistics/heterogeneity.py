"""Do groups differ in an effect beyond what their samples make them differ? The spread of true effects between groups.

Each group's estimate θᵢ errs with a variance vᵢ, and the true effects are spread with standard deviation τ between groups. At the true τ,
Q(τ) = Σ wᵢ(θᵢ − θ̄)² with wᵢ = 1/(vᵢ + τ²) is distributed as χ² with one degree of freedom fewer than there are groups, which is turned
into an interval for τ (Viechtbauer 2007, *Stat. Med.* 26, the Q-profile method).

Where the variances are only known to lie between 0 and an upper bound (two measurements of the same items whose paired errors are not
published), the lower end of the interval uses the upper bounds, and the upper end takes all spread as true; so neither verdict profits from
what is not known.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, stats

from trajectories.statistics.claims import ALPHA, Result


def q(estimates: np.ndarray, variances: np.ndarray, tau: float) -> float:
    """The weighted sum of squares about the weighted mean at a spread ``tau``; infinite where all weights are."""
    total = variances + tau**2
    if not (total > 0).all():
        return 0.0 if np.ptp(estimates) == 0 else math.inf
    weights = 1 / total
    return float(weights @ (estimates - weights @ estimates / weights.sum()) ** 2)


def spread(estimates: np.ndarray, variances: np.ndarray, *, bounded: bool = False, **facts: object) -> Result:
    """The standard deviation of true effects between groups.

    Args:
        estimates: ``[groups]``.
        variances: ``[groups]``: sampling variances, or upper bounds of them.
        bounded: they are upper bounds, and the true ones may be as small as 0.
        facts: ``n, n_events, method`` of :class:`Result`.

    Returns:
        The estimate of DerSimonian and Laird's kind (Paule and Mandel 1982: the τ at which Q equals its expectation), with one-sided 95 %
        bounds and tails; a problem with fewer than three groups.
    """
    estimates, variances = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    groups = len(estimates)
    if groups < 3 or not (np.isfinite(estimates).all() and np.isfinite(variances).all()):
        return Result(math.nan, n_clusters=groups, problem="fewer than three groups have an estimate", **facts)  # type: ignore[arg-type]
    df, least = groups - 1, np.zeros(groups) if bounded else variances

    def at(target: float, own: np.ndarray) -> float:
        """The spread at which Q is ``target``; 0 where it is smaller throughout."""
        if q(estimates, own, 0) <= target:
            return 0.0
        high = 10 * (float(np.ptp(estimates)) + math.sqrt(float(own.max())) + 1e-9)
        while q(estimates, own, high) > target:
            high *= 10
        return float(optimize.brentq(lambda tau: q(estimates, own, tau) - target, 1e-12, high, xtol=1e-10))

    def tails(value: float) -> tuple[float, float]:
        """p of H0: spread ≤ value, and of H0: spread ≥ value."""
        if value < 0:
            return 0.0, 1.0
        return float(stats.chi2.sf(q(estimates, variances, value), df)), float(stats.chi2.cdf(q(estimates, least, value), df))

    low, high = at(stats.chi2.ppf(1 - ALPHA, df), variances), at(stats.chi2.ppf(ALPHA, df), least)
    return Result(at(df, variances), ci_low=low, ci_high=high, tails=tails, n_clusters=groups, **facts)  # type: ignore[arg-type]
