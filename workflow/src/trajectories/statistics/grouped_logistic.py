"""Logistic regression of counts: events among many alike trials, with errors that respect groups whose trials depend on each other.

Made for complete tables of many millions of rows of which only the events are listed: what enters is one line per group of rows.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit

from trajectories.statistics.order_regression import Fit

_MOST_ITERATIONS, _TOLERANCE, _LARGEST_STEP = 50, 1e-9, 5.0
METHOD = "binomial regression, cluster-robust (sandwich)"


def grouped_logistic(events: np.ndarray, trials: np.ndarray, x: np.ndarray, names: tuple[str, ...], block: int = 1) -> Fit:
    """Maximum likelihood of a binomial logistic model with a sandwich over groups.

    The sandwich Σ s_g s_gᵀ of the groups' scores needs no model of the overdispersion (Liang and Zeger 1986, *Biometrika* 73); with G
    clusters it is enlarged by G / (G − 1), and t quantiles have G − 1 degrees of freedom.

    Args:
        events: of each group [g].
        trials: of each group [g].
        x: columns [g, k], the first one an intercept.
        names: of the columns.
        block: so many consecutive groups make a cluster, 1 where the groups are independent.

    Returns:
        The fit; ``n`` counts trials, ``n_clusters`` clusters, ``n_events`` events. ``residual_sd`` is the square root of Pearson's
        dispersion: 1 where trials are independent.
    """
    events, trials = np.asarray(events, dtype=float), np.asarray(trials, dtype=float)
    total, clusters = int(events.sum()), math.ceil(len(events) / block)
    problem = None
    if not 0 < total < trials.sum():
        problem = f"{'all' if total else 'none'} of {int(trials.sum()):,} trials are events"
    elif clusters < 3:
        problem = f"only {clusters} independent clusters"
    elif np.linalg.matrix_rank(x) < x.shape[1]:
        problem = "the position does not vary"
    if problem:
        nothing = np.full(x.shape[1], math.nan)
        covariance = np.full((x.shape[1], x.shape[1]), math.nan)
        return Fit(names, nothing, covariance, nothing, int(trials.sum()), clusters, total, math.nan, METHOD, problem)
    beta = np.zeros(x.shape[1])
    beta[0] = math.log(total / (trials.sum() - total))
    converged = False
    for _ in range(_MOST_ITERATIONS):
        p = expit(x @ beta)
        information = (x * (trials * p * (1 - p))[:, None]).T @ x
        step = np.linalg.solve(information, x.T @ (events - trials * p))
        step *= min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        beta = beta + step
        if np.abs(step).max() < _TOLERANCE:
            converged = True
            break
    p = expit(x @ beta)
    variance = trials * p * (1 - p)
    bread = np.linalg.inv((x * variance[:, None]).T @ x)
    score = np.add.reduceat(x * (events - trials * p)[:, None], np.arange(0, len(events), block), axis=0)
    covariance = clusters / (clusters - 1) * bread @ (score.T @ score) @ bread
    effective = np.full(len(beta), float(clusters))
    pearson = float(((events - trials * p) ** 2 / np.maximum(variance, 1e-300)).sum() / max(len(events) - len(beta), 1))
    problem = None if converged else "the likelihood did not converge"
    return Fit(names, beta, covariance, effective, int(trials.sum()), clusters, total, math.sqrt(pearson), METHOD, problem)
