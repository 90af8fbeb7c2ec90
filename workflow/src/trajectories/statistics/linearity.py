"""Whether a trend is straight: what a natural cubic spline adds to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.interpolate import CubicSpline

if TYPE_CHECKING:
    from trajectories.statistics.order_regression import Fit


def bends(position: np.ndarray, at: np.ndarray, knots: int) -> np.ndarray:
    """What a natural cubic spline adds to a straight line: orthonormal columns, free of constant and slope over the sample.

    The knots are evenly spaced from the first to the last position, and the curvature is 0 at both ends (Harrell 2015, *Regression
    Modeling Strategies*, section 2.4.5).

    Args:
        position: the sample [n].
        at: where the columns are wanted [m].
        knots: number of knots, at least 3.

    Returns:
        [m, knots − 2]; over the sample each column has mean square 1.
    """
    places = np.linspace(position.min(), position.max(), knots)
    if not places[0] < places[-1]:
        return np.empty((len(at), 0))
    basis = CubicSpline(places, np.eye(knots), bc_type="natural")
    straight, wanted = (np.column_stack([np.ones_like(x), x]) for x in (position, at))
    whole = basis(position)
    line = np.linalg.lstsq(straight, whole, rcond=None)[0]
    _, size, turn = np.linalg.svd(whole - straight @ line, full_matrices=False)
    kept = size[: knots - 2] > 1e-8 * size[0]
    return ((basis(at) - wanted @ line) @ turn[: knots - 2].T / np.maximum(size[: knots - 2], 1e-300) * math.sqrt(len(position)))[:, kept]


def wald(fit: Fit, names: Sequence[str]) -> tuple[float, int, float, float]:
    """Cluster-robust Wald test that several coefficients are all zero.

    Returns:
        The F statistic, its two degrees of freedom (the second from the fewest effective clusters), and p; NaN where the fit has a problem.
    """
    which = [fit.names.index(name) for name in names]
    if fit.problem is not None or not which:
        return math.nan, len(which), math.nan, math.nan
    estimate, covariance = fit.coefficients[which], fit.covariance[np.ix_(which, which)]
    statistic = float(estimate @ np.linalg.pinv(covariance, hermitian=True) @ estimate) / len(which)
    df = float(fit.df[which].min())
    return statistic, len(which), df, float(stats.f.sf(statistic, len(which), df))
