"""Whether a trend is straight: what a natural cubic spline adds to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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


def straightness(fit: Fit, position: np.ndarray, margin: float, points: int = 61, alpha: float = 0.05) -> tuple[dict[str, Any], list[dict]]:
    """How far a bent trend leaves the straight line that fits best, in units of a margin.

    Args:
        fit: of a design with :func:`bends`; its coefficients called ``position`` and ``bend …`` are used.
        position: the sample's positions [n].
        margin: smallest effect of interest, in the outcome's unit.
        points: places at which the trend is looked at.
        alpha: of the test and of the one-sided bounds.

    Returns:
        The test: ``f, df1, df2, p`` (Wald test that nothing bends); ``deviation`` (the largest distance from the line, with its sign),
        ``deviation_bound`` (how large its absolute value may be anywhere: the largest one-sided bound) and ``place`` of it; ``rise`` from
        the first to the last position along the bent trend with its bounds ``rise_low, rise_high``, all in margins and the rise per unit
        of position as the slope is; ``shape``: ``bent`` (p below alpha), ``straight within the margin`` (the bound is below 1) or ``open``.
        And the trend: ``x, value, ci_low, ci_high``, in the outcome's unit, relative to the sample's mean position, 95 % pointwise.
    """
    names = [name for name in fit.names if name.startswith("bend ")]
    which = [fit.names.index(name) for name in ("position", *names)]
    beta, covariance = fit.coefficients[which], fit.covariance[np.ix_(which, which)]
    x = np.linspace(position.min(), position.max(), points)
    curves = bends(position, x, len(names) + 2)
    df = float(fit.df[which].min())
    one_sided, two_sided = (float(stats.t.ppf(level, df)) for level in (1 - alpha, 0.975))
    f, df1, df2, p = wald(fit, names)

    def read(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return columns @ beta, np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", columns, covariance, columns), 0))

    distance, distance_error = read(np.column_stack([np.zeros(points), curves]))
    value, error = read(np.column_stack([x - position.mean(), curves]))
    ends = np.r_[x[-1] - x[0], curves[-1] - curves[0]] / (x[-1] - x[0])
    rise, rise_error = (float(v[0]) for v in read(ends[None]))
    largest = int(np.argmax(np.abs(distance)))
    bound = float((np.abs(distance) + one_sided * distance_error).max()) / margin
    tested = {
        "f": f,
        "df1": df1,
        "df2": df2,
        "p": p,
        "deviation": float(distance[largest]) / margin,
        "deviation_bound": bound,
        "place": float(x[largest]),
        "rise": rise / margin,
        "rise_low": (rise - one_sided * rise_error) / margin,
        "rise_high": (rise + one_sided * rise_error) / margin,
        "shape": "bent" if p < alpha else "straight within the margin" if bound < 1 else "open",
    }
    reach = two_sided * error
    trend = [
        {"x": float(a), "value": float(v), "ci_low": float(v - r), "ci_high": float(v + r)} for a, v, r in zip(x, value, reach, strict=True)
    ]
    return tested, trend
