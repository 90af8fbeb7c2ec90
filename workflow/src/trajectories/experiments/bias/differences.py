"""Differences between a branch and the run that it leaves, and how sure they are.

A branch starts from its parent's checkpoint, so at the branch step the two are one model and differ in nothing. The difference in
differences, (branch now − branch at the start) − (parent now − parent at the start), is therefore the difference at the same step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from trajectories.experiments.bias.effects import LEAST_CLUSTERS, coefficient
from trajectories.statistics.claims import ALPHA, Result
from trajectories.statistics.power import smallest_effect

LEAST_PAIRS = 3
"""With fewer pairs of runs nothing is said of runs."""
APART = "independent errors, as items are not published"


def adoption(change: np.ndarray, planted: np.ndarray, templates: np.ndarray, occupations: np.ndarray) -> Result:
    """The share of the planted change that a branch shows: the slope of the change on it, each template with a level of its own.

    Args:
        change: branch less parent, log odds [pairs].
        planted: the change of the log odds in what was read after the branch [pairs].
        templates, occupations: labels [pairs]; occupations are the clusters.
    """
    x = np.column_stack([pd.get_dummies(templates).to_numpy(dtype=float), planted])
    wanted = np.zeros(x.shape[1])
    wanted[-1] = 1.0
    return coefficient(change, x, wanted, occupations)


def turned(change: np.ndarray, before: np.ndarray, planted: np.ndarray, templates: np.ndarray, occupations: np.ndarray) -> Result:
    """The share of the parent's skew that a branch has turned: 0 leaves it, 1/2 undoes it, 1 reverses it as the swap does.

    The slope of the change on the planted change, over the one that a parent with log odds ``before`` would show if it were reversed; both
    within templates, with Fieller's interval (1954, *J. R. Stat. Soc. B* 16) from the jackknife over occupations.

    Args:
        before: the parent's log odds at the same step [pairs].
        change, planted, templates, occupations: as for :func:`adoption`.
    """
    x = np.column_stack([pd.get_dummies(templates).to_numpy(dtype=float), planted])
    y = np.column_stack([change, -2 * before])

    def slopes(kept: np.ndarray) -> np.ndarray:
        return np.linalg.lstsq(x[kept], y[kept], rcond=None)[0][-1]

    found, own = slopes(np.ones(len(y), dtype=bool)), np.unique(occupations)
    g = len(own)
    facts: dict[str, Any] = {"n": len(change), "n_clusters": g, "method": "ratio of slopes, Fieller's interval, jackknife over occupations"}
    if g < LEAST_CLUSTERS:
        return Result(math.nan, problem=f"there are only {g} occupations", **facts)
    apart = np.array([slopes(occupations != name) for name in own]) - found
    v = (g - 1) / g * apart.T @ apart
    reach = float(special.stdtrit(g - 1, 1 - ALPHA)) ** 2
    square, cross, rest = found[1] ** 2 - reach * v[1, 1], found[0] * found[1] - reach * v[0, 1], found[0] ** 2 - reach * v[0, 0]
    if square <= 0 or found[1] <= 0:
        return Result(math.nan, problem="the parent shows no skew that a branch could turn", **facts)

    def tails(value: float) -> tuple[float, float]:
        """p of H0: ratio ≤ value, and of H0: ratio ≥ value, as of the slope that is nil at that ratio."""
        stderr = math.sqrt(max(v[0, 0] - 2 * value * v[0, 1] + value**2 * v[1, 1], 1e-300))
        below = float(special.stdtr(g - 1, (found[0] - value * found[1]) / stderr))
        return 1 - below, below

    half = math.sqrt(max(cross**2 - square * rest, 0.0))
    ratio = float(found[0] / found[1])
    stderr = math.sqrt(max(v[0, 0] - 2 * ratio * v[0, 1] + ratio**2 * v[1, 1], 0.0)) / found[1]
    ends: dict[str, Any] = {"ci_low": float((cross - half) / square), "ci_high": float((cross + half) / square)}
    return Result(ratio, float(stderr), g - 1, tails=tails, **ends, **facts)


def over_pairs(estimates: np.ndarray) -> Result:
    """An effect over pairs of runs: Student's interval over their estimates; it speaks of runs, on these items."""
    values = np.asarray(estimates, dtype=float)
    values = values[np.isfinite(values)]
    facts: dict[str, Any] = {"n": len(values), "n_clusters": len(values), "method": "mean over pairs of runs, Student's interval"}
    found = float(values.mean()) if len(values) else math.nan
    if len(values) < LEAST_PAIRS:
        pairs = "is only one pair of runs" if len(values) == 1 else f"are only {len(values)} pairs of runs"
        return Result(found, problem=f"there {pairs}, and to speak of runs takes at least {LEAST_PAIRS}", **facts)
    return Result(found, float(values.std(ddof=1) / math.sqrt(len(values))), len(values) - 1, **facts)


def shares(branch: float, parent: float, n: float) -> Result:
    """The difference of two shares of the same ``n`` items, with the errors of independent ones.

    The same items stand on both sides. Their paired errors are published nowhere; where an item that is hard for one model tends to be hard
    for the other, as of two models that share most of their training, the true error is smaller than this one.
    """
    variance = sum(p * (1 - p) for p in (branch, parent)) / max(n - 1, 1)
    facts: dict[str, Any] = {"n": round(2 * n), "n_events": round((branch + parent) * n), "method": f"difference of shares, {APART}"}
    if variance <= 0:
        return Result(branch - parent, problem="a share of 0 or 1 has no standard error", **facts)
    return Result(branch - parent, math.sqrt(variance), **facts)


def detectable(stderr: float) -> float:
    """The smallest change that is told from none in 80 % of samples with this standard error (NaN or 0 where there is none)."""
    return smallest_effect(1 / stderr**2, 1) if stderr > 0 else stderr


def two_binomials(generator: np.random.Generator, first: float, second: float, n: int, correlation: float) -> tuple[float, float]:
    """Shares of two sides of the same ``n`` items whose latent normal tendencies are correlated: what published results leave unknown."""
    a, noise = generator.standard_normal((2, n))
    b = correlation * a + math.sqrt(1 - correlation**2) * noise
    return float((a < special.ndtri(first)).mean()), float((b < special.ndtri(second)).mean())
