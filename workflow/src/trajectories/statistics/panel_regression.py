"""Linear regression on a panel of units by periods, with effects of the period and, if wanted, of the unit.

Every unit is seen at every period (a balanced panel). Effects of the period, and of facts of the units whose weight may differ by period,
are projected out of the outcome and of every column, period by period; unit effects by taking each unit's mean away. In a balanced panel
the two projections commute, so one after the other is exact (Baltagi 2021, *Econometric Analysis of Panel Data*, section 3.2), and nothing
of the size of units times dummies is ever built. Standard errors come from the cluster jackknife of
:mod:`trajectories.statistics.order_regression`; clusters are of units, so whatever ties a unit's periods together is allowed for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trajectories.statistics.order_regression import Fit, clustered, no_fit


def panel_regression(
    y: np.ndarray,
    columns: np.ndarray,
    facts: np.ndarray,
    clusters: np.ndarray,
    names: Sequence[str],
    *,
    unit_effects: bool,
    weights: np.ndarray | None = None,
) -> Fit:
    """Coefficients of columns that vary over units and periods.

    Args:
        y: outcome [n, t].
        columns: [k, n, t].
        facts: of the units [n, p], for instance predictors of the outcome; each gets a coefficient per period. A constant is added.
        clusters: cluster of each unit [n], integers from 0.
        names: of the columns [k].
        unit_effects: whether each unit has an intercept of its own, so that only its changes over periods count.
        weights: of the units [n]; None for equal ones.

    Returns:
        A fit whose ``n`` counts units.
    """
    n = len(y)
    method = f"least squares within {'units and ' if unit_effects else ''}periods, cluster jackknife (CV3)"
    if len(np.unique(clusters)) < 3 or not len(columns):
        return no_fit(tuple(names), n, clusters, None, method, "there are too few clusters or no columns")
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=float) / np.mean(weights)
    z = np.column_stack([np.ones(n), facts])
    project = np.linalg.pinv(z * np.sqrt(w)[:, None]) * np.sqrt(w)

    def within(values: np.ndarray) -> np.ndarray:
        if unit_effects:
            values = values - values.mean(axis=-1, keepdims=True)
        return values - z @ (project @ values)

    x = np.stack([within(column) for column in np.asarray(columns, dtype=float)], axis=1)
    moments = x @ x.transpose(0, 2, 1)
    whole = np.einsum("i,ikl->kl", w, moments)
    if np.linalg.matrix_rank(whole, hermitian=True) < len(whole):
        return no_fit(tuple(names), n, clusters, None, method, "the columns cannot be told apart, or from the periods")
    left = within(np.asarray(y, dtype=float))
    beta = np.linalg.solve(whole, np.einsum("i,ikt,it->k", w, x, left, optimize=True))
    residual = left - np.einsum("k,ikt->it", beta, x)
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=clusters[order[0]] - 1))
    sums = np.add.reduceat((w[:, None] * np.einsum("ikt,it->ik", x, residual, optimize=True))[order], starts, axis=0)
    parts = np.add.reduceat((w[:, None, None] * moments)[order], starts, axis=0)
    inverse = np.linalg.inv(whole)
    shares = np.einsum("jk,gkl,lj->gj", inverse, parts, inverse, optimize=True)
    covariance, effective = clustered(parts, sums, shares)
    spread = float(np.sqrt(np.mean(residual**2)))
    return Fit(tuple(names), beta, covariance, effective, n, len(starts), None, spread, method)
