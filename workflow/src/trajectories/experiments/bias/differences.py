"""Differences between a branch and the run that it leaves, and how sure they are.

A branch starts from its parent's checkpoint, so at the branch step the two are one model and differ in nothing. The difference in
differences, (branch now − branch at the start) − (parent now − parent at the start), is therefore the difference at the same step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from trajectories.statistics.claims import ALPHA, Result
from trajectories.statistics.intervals import cluster_jackknife, one_hot
from trajectories.statistics.power import POWER, smallest_effect

LEAST_CLUSTERS, LEAST_PAIRS = 5, 3
APART = "independent errors, since what happens to single pairs is not published"


@dataclass(frozen=True)
class Items:
    """Paired changes of items.

    Attributes:
        change: ``[items]``: branch less parent.
        planned: ``[items]``: the change that was planted, or zeros where none is known.
        block: ``[items]``: labels of what has a level of its own (a template, whose pronoun may be another form).
        cluster: ``[items]``: labels of what is independent (an occupation, a pair).
    """

    change: np.ndarray
    planned: np.ndarray
    block: np.ndarray
    cluster: np.ndarray

    def slope(self, chosen: np.ndarray) -> float:
        """Change per planted change within blocks, of the items chosen (bool ``[items]``); NaN where the planted one does not vary."""
        member = one_hot(self.block[chosen])
        x, y = self.planned[chosen], self.change[chosen]
        within = x - member @ (member.T @ x / member.sum(0))
        spread = float(within @ within)
        return float(within @ y) / spread if spread > 0 else math.nan


def adoption(items: Items) -> Result:
    """The share of the planted change that the branch shows: the slope of an item's change on it, with the jackknife over clusters."""
    return _jackknifed(items, items.slope, "slope within templates, jackknife over occupations")


def mean_change(items: Items, what: str = "mean over items, jackknife over clusters") -> Result:
    """The mean change, whatever was planted."""
    return _jackknifed(items, lambda chosen: float(items.change[chosen].mean()), what)


def _jackknifed(items: Items, statistic: Callable[[np.ndarray], float], method: str) -> Result:
    clusters = len(np.unique(items.cluster))
    facts = {"n": len(items.change), "n_clusters": clusters, "method": method}
    if clusters < LEAST_CLUSTERS:
        return Result(math.nan, problem=f"there are only {clusters} independent clusters of items", **facts)
    estimate, stderr, df = cluster_jackknife(statistic, items.cluster)
    return Result(estimate, stderr, df, **facts)


def over_pairs(estimates: np.ndarray, what: str) -> Result:
    """An effect over pairs of runs: Student's interval over their estimates; it speaks of runs, on these items."""
    values = np.asarray(estimates, dtype=float)
    values = values[np.isfinite(values)]
    facts = {"n": len(values), "n_clusters": len(values), "method": f"{what}; mean over pairs of runs, Student's interval"}
    if len(values) < LEAST_PAIRS:
        pairs = "is only one pair of runs" if len(values) == 1 else f"are only {len(values)} pairs of runs"
        found = float(values.mean()) if len(values) else math.nan
        return Result(found, problem=f"there {pairs}, and to speak of runs takes at least {LEAST_PAIRS}", **facts)
    return Result(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), len(values) - 1, **facts)


def shares(branch: float, parent: float, n: float) -> Result:
    """The difference of two shares of the same ``n`` items, with the errors of independent ones.

    The same items stand on both sides. Their paired errors are published nowhere; where an item that is hard for one model tends to be hard
    for the other, as of two models that share most of their training, the true error is smaller than this one.
    """
    variance = sum(p * (1 - p) for p in (branch, parent)) / max(n - 1, 1)
    events = round((branch + parent) * n)
    facts = {"n": round(2 * n), "n_events": events, "method": f"difference of shares, {APART}"}
    if variance <= 0:
        return Result(branch - parent, problem="a share of 0 or 1 has no standard error", **facts)
    return Result(branch - parent, math.sqrt(variance), **facts)


def detectable(branch: float, parent: float, n: float) -> float:
    """The smallest change of a share that ``n`` pairs of items tell from none in 80 % of samples, at the errors of :func:`shares`."""
    each = sum(p * (1 - p) for p in (branch, parent))
    return smallest_effect(1 / each, n) if each > 0 else math.inf


def detectable_by(stderr: float) -> float:
    """The same from a standard error: (z₀.₉₅ + z₀.₈) standard errors."""
    return float((stats.norm.ppf(1 - ALPHA) + stats.norm.ppf(POWER)) * stderr)


def two_binomials(
    generator: np.random.Generator, first: float, second: float, n: int, correlation: float, draws: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of two sides of the same ``n`` items whose latent tendencies are correlated: what published results leave unknown.

    Args:
        generator: source of randomness.
        first, second: true shares.
        n: items.
        correlation: of the latent normal tendencies.
        draws: how many samples, or None for one.
    """
    shape = (n,) if draws is None else (draws, n)
    a, noise = generator.standard_normal((2, *shape))
    b = correlation * a + math.sqrt(1 - correlation**2) * noise
    return (a < stats.norm.ppf(first)).mean(-1), (b < stats.norm.ppf(second)).mean(-1)
