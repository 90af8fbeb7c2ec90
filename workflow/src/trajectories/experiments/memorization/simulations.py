"""Samples of known truth on the design of the real one, for the calibration of the primary claims.

Whole clusters are drawn with replacement, so batches and copy groups keep their make-up. For the log-probability the rows keep their real
residuals, heavy tails and clustering included, and get a trend of known size. For the binary outcome, outcomes are drawn with the wanted
log odds; the rows of a cluster share a normal latent variable, which leaves each row's own probability as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import optimize
from scipy.special import expit
from scipy.stats import norm

from trajectories.experiments.memorization.regressions import MEMORIZED, Regression, fit_outcome
from trajectories.statistics.claims import Result

Simulation = Callable[[np.random.Generator, float], Result]


def simulation(regression: Regression, correlation: float) -> Simulation:
    """The simulated analysis of an outcome: (generator, true slope on the claim's scale) → result.

    Args:
        regression: the primary regression of a real checkpoint; its design, covariates' effects and event rate are kept.
        correlation: binary outcome: within-cluster correlation of the latent variable.
    """
    place = regression.names.index("position")
    members = [np.flatnonzero(regression.labels == c) for c in range(int(regression.labels.max()) + 1)]
    outcomes = _binary(regression, place, correlation) if regression.outcome == MEMORIZED else _continuous(regression, place)

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        picked = generator.integers(0, len(members), len(members))
        rows = np.concatenate([members[c] for c in picked])
        labels = np.repeat(np.arange(len(picked)), [len(members[c]) for c in picked])
        y = outcomes(generator, truth, rows, labels)
        x = regression.x[rows]
        kept = (x != x[0]).any(axis=0) | (np.arange(x.shape[1]) == regression.names.index("intercept"))
        names = tuple(n for n, keep in zip(regression.names, kept, strict=True) if keep)
        return fit_outcome(regression.outcome, y, x[:, kept], labels, names).result()

    return simulate


_Outcomes = Callable[[np.random.Generator, float, np.ndarray, np.ndarray], np.ndarray]


def _binary(regression: Regression, place: int, correlation: float) -> _Outcomes:
    position = regression.x[:, place]
    base = regression.x @ regression.fit.coefficients - regression.fit.coefficients[place] * position
    rate = float(regression.y.mean())
    shift: dict[float, float] = {}

    def outcomes(generator: np.random.Generator, truth: float, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        if truth not in shift:  # the event rate stays that of the real sample
            shift[truth] = float(optimize.brentq(lambda a: expit(base + a + truth * position).mean() - rate, -50, 50))
        p = expit(base + shift[truth] + truth * position)[rows]
        shared = generator.standard_normal(int(labels.max()) + 1)[labels]
        latent = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * generator.standard_normal(len(rows))
        return norm.cdf(latent) < p

    return outcomes


def _continuous(regression: Regression, place: int) -> _Outcomes:
    position = regression.x[:, place]
    flat = regression.y - regression.fit.coefficients[place] * position
    joint = np.cov(flat, position)

    def outcomes(generator: np.random.Generator, truth: float, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        # the slope b with b / SD(flat + b · position) = truth: b²(1 − truth²·var) − 2·truth²·cov·b − truth²·var(flat) = 0
        square = truth**2
        a, b, c = 1 - square * joint[1, 1], -2 * square * joint[0, 1], -square * joint[0, 0]
        slope = (-b + np.sign(truth) * np.sqrt(b * b - 4 * a * c)) / (2 * a)
        return (flat + slope * position)[rows]

    return outcomes
