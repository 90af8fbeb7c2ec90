"""The effects that the claims are about, estimated with paradigms as the sample and phenomena as its clusters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from trajectories.statistics import intervals, rank_agreement
from trajectories.statistics.claims import ALPHA, Result

LEAST_CLUSTERS = 4
ICC = 0.3
"""Assumed where it cannot be estimated, and in simulations: share of the variance between paradigms that lies between phenomena."""
JACKKNIFE = "delete-one-phenomenon jackknife"


def _few(clusters: np.ndarray) -> str | None:
    groups = len(np.unique(clusters))
    return (
        None
        if groups >= LEAST_CLUSTERS
        else f"the paradigms belong to {groups} phenomena, and an interval over phenomena needs {LEAST_CLUSTERS}"
    )


def correlation(statistic: Callable[[np.ndarray], float], clusters: np.ndarray, method: str) -> Result:
    """A rank correlation over paradigms; bounds and p from Student's t on Fisher's scale."""
    facts: dict[str, Any] = {
        "n": len(clusters),
        "n_clusters": len(np.unique(clusters)),
        "method": f"{method}, {JACKKNIFE} on Fisher's scale",
    }
    everything = float(statistic(np.ones(len(clusters), dtype=bool)))
    if not np.isfinite(everything):
        return Result(everything, problem="all paradigms are tied in one of the two rankings", **facts)
    if _few(clusters):
        return Result(everything, problem=_few(clusters), **facts)
    z, stderr, df = rank_agreement.fisher(statistic, clusters)
    if not np.isfinite(stderr):
        return Result(everything, problem="the rankings are all tied once a phenomenon is left out", **facts)
    low, high = intervals.t_interval(z, stderr, df, 1 - 2 * ALPHA)

    def tails(value: float) -> tuple[float, float]:
        t = (z - np.arctanh(np.clip(value, -1 + 1e-9, 1 - 1e-9))) / stderr
        return float(stats.t.sf(t, df)), float(stats.t.cdf(t, df))

    return Result(everything, ci_low=float(np.tanh(low)), ci_high=float(np.tanh(high)), tails=tails, **facts)


def agreement(own: np.ndarray, others: np.ndarray, clusters: np.ndarray, given: np.ndarray | None = None) -> Result:
    """Rank correlation of two orders over paradigms, given a third quantity if there is one; all ``[paradigms]``."""
    if given is None:
        return correlation(lambda m: rank_agreement.spearman(own[m], others[m]), clusters, "Spearman's rank correlation")
    return correlation(lambda m: rank_agreement.partial_spearman(own[m], others[m], given[m]), clusters, "partial rank correlation")


def share_early(early: np.ndarray, final: np.ndarray, clusters: np.ndarray, least: float) -> Result:
    """Mean gain at an early checkpoint as a share of that at the final one; gains ``[paradigms]`` are accuracies less chance."""
    facts: dict[str, Any] = {
        "n": len(clusters),
        "n_clusters": len(np.unique(clusters)),
        "method": f"ratio of mean gains over paradigms, {JACKKNIFE}",
    }
    if final.mean() < least:
        return Result(float("nan"), problem=f"the final accuracy is only {final.mean():.3f} above chance", **facts)
    if _few(clusters):
        return Result(float(early.mean() / final.mean()), problem=_few(clusters), **facts)
    estimate, stderr, df = intervals.cluster_jackknife(lambda m: float(early[m].mean() / final[m].mean()), clusters)
    return Result(estimate, stderr, df, **facts)


def net_share(signs: np.ndarray, clusters: np.ndarray) -> Result:
    """Mean of signs over paradigms: 1 where a model is earlier than another (the events), -1 where later.

    Paradigms whose order cannot be told are none of the sample. Taken as a proportion, (1 + sign) / 2, with the binomial interval at the
    effective sample size that the clusters leave (Korn and Graubard 1998, *Surv. Methodol.* 24): p (1 − p) over the jackknife variance,
    times the squared ratio of Student's quantiles, at most the number of paradigms. Mid-p, since the exact interval says far too little
    with so few paradigms. Where all of them say the same, the jackknife has no variance to go by, and paradigms of a phenomenon are taken
    to correlate by :data:`ICC`.
    """
    n, groups = len(clusters), len(np.unique(clusters))
    facts: dict[str, Any] = {"n": n, "n_clusters": groups, "n_events": int((signs > 0).sum())}
    facts["method"] = f"net share of paradigms, Korn and Graubard's interval (mid-p), {JACKKNIFE}"
    estimate = float(signs.mean()) if n else float("nan")
    if _few(clusters):
        return Result(estimate, problem=_few(clusters), **facts)
    share = (1 + signs) / 2
    p, stderr, df = intervals.cluster_jackknife(lambda m: float(share[m].mean()), clusters)
    sizes = np.unique(clusters, return_counts=True)[1]
    effective = n / (1 + ICC * (float(np.square(sizes).sum()) / n - 1))
    if stderr > 0:
        quantiles = stats.t.ppf(1 - ALPHA, n - 1) / stats.t.ppf(1 - ALPHA, df)
        effective = min(float(n), p * (1 - p) / stderr**2 * quantiles**2)

    def tails(value: float) -> tuple[float, float]:
        above = intervals.binomial_mid_p(effective * p, effective, (1 + value) / 2)
        return above, 1 - above

    ends = [2 * intervals.binomial_bound(effective * p, effective, tail) - 1 for tail in (ALPHA, 1 - ALPHA)]
    return Result(estimate, ci_low=ends[0], ci_high=ends[1], tails=tails, **facts)
