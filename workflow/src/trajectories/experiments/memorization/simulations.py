"""Samples of known truth on the design of the real one, for the calibration of the claims about regressions over rows.

Whole clusters are drawn with replacement, so batches and copy groups keep their make-up. For continuous outcomes the rows keep their real
residuals, heavy tails and clustering included, and get an effect of known size. For the binary outcome, outcomes are drawn with the wanted
log odds; the rows of a cluster share a normal latent variable, which leaves each row's own probability as it is, and rows with the same
text have the same outcome but for the difference that their places make.
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
"""(generator, true effect on the claim's scale) → what the analysis finds on one simulated sample."""


def simulation(regression: Regression, correlation: float, term: str = "position") -> Simulation:
    """The simulated analysis of an outcome.

    Args:
        regression: of a real checkpoint; its design, covariates' effects, weights and event rate are kept.
        correlation: binary outcome: within-cluster correlation of the latent variable.
        term: the coefficient whose true value is planted and which the claim is about.
    """
    place = regression.names.index(term)
    draw = clusters_of(regression.labels)
    outcomes = _binary(regression, place, correlation) if regression.outcome == MEMORIZED else _continuous(regression, place)

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        rows, labels = draw(generator)
        y, weights = outcomes(generator, truth, rows, labels)
        x = regression.x[rows]
        kept = (x != x[0]).any(axis=0) | (np.arange(x.shape[1]) == regression.names.index("intercept"))
        names = tuple(n for n, keep in zip(regression.names, kept, strict=True) if keep)
        if term not in names:
            return Result(float("nan"), n=len(y), problem=f"the rows do not differ in '{term}'")
        return fit_outcome(regression.outcome, y, x[:, kept], labels, names, weights).result(term)

    return simulate


def clusters_of(labels: np.ndarray) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Draws of whole clusters with replacement, as many as there are.

    Args:
        labels: cluster of each unit [n], integers from 0.

    Returns:
        A function that draws: from a generator to the drawn units, and the cluster of each as drawn (a cluster drawn twice is two).
    """
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes

    def draw(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        picked = generator.integers(0, len(sizes), len(sizes))
        drawn = np.repeat(np.arange(len(picked)), sizes[picked])
        ends = np.cumsum(sizes[picked])
        within = np.arange(len(drawn)) - np.repeat(ends - sizes[picked], sizes[picked])
        return order[np.repeat(starts[picked], sizes[picked]) + within], drawn

    return draw


_Outcomes = Callable[[np.random.Generator, float, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]


def _binary(regression: Regression, place: int, correlation: float) -> _Outcomes:
    column, weights = regression.x[:, place], regression.weights
    base = regression.x @ regression.fit.coefficients - regression.fit.coefficients[place] * column
    rate = float(np.average(regression.y, weights=weights))
    events = regression.y > 0.5
    # in a case-control sample the outcome decides the weight, so it is drawn given that the row is in the sample
    by_outcome = None
    if weights is not None and events.any() and not events.all() and not set(weights[events]) & set(weights[~events]):
        by_outcome = float(weights[events].mean()), float(weights[~events].mean())
    offset = np.log(by_outcome[1] / by_outcome[0]) if by_outcome else 0.0
    copies = np.arange(len(column)) if regression.copies is None else np.unique(regression.copies, return_inverse=True)[1]
    shift: dict[float, float] = {}

    def outcomes(
        generator: np.random.Generator, truth: float, rows: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if truth not in shift:  # the event rate stays that of the real sample
            shift[truth] = float(optimize.brentq(lambda a: np.average(expit(base + a + truth * column), weights=weights) - rate, -50, 50))
        p = expit(base + shift[truth] + offset + truth * column)[rows]
        shared = generator.standard_normal(int(labels.max()) + 1)[labels]
        texts = np.unique(labels * len(column) + copies[rows], return_inverse=True)[1]
        own = generator.standard_normal(int(texts.max()) + 1)[texts]
        y = norm.cdf(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own) < p
        if weights is None:
            return y, None
        return y, np.where(y, *by_outcome) if by_outcome else weights[rows]

    return outcomes


def _continuous(regression: Regression, place: int) -> _Outcomes:
    column, weights = regression.x[:, place], regression.weights
    flat = regression.y - regression.fit.coefficients[place] * column

    def outcomes(
        generator: np.random.Generator, truth: float, rows: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        planted = flat + slope_in_sd(flat, column, truth, weights) * column
        return planted[rows], None if weights is None else weights[rows]

    return outcomes


def slope_in_sd(flat: np.ndarray, column: np.ndarray, truth: float, weights: np.ndarray | None = None) -> float:
    """The slope b for which b / SD(flat + b · column) is ``truth``; it solves b²(1 − truth²·var) − 2·truth²·cov·b − truth²·var(flat) = 0.

    Args:
        flat: an outcome without the effect [n].
        column: that the effect is on [n].
        truth: wanted, in standard deviations of the outcome with the effect.
        weights: of the units [n].
    """
    joint = np.cov(flat, column, aweights=weights)
    square = truth**2
    a, b, c = 1 - square * joint[1, 1], -2 * square * joint[0, 1], -square * joint[0, 0]
    return float((-b + np.sign(truth) * np.sqrt(b * b - 4 * a * c)) / (2 * a))
