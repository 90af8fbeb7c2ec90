"""The alternative to a homogeneous process that is not clusters: a rate that changes smoothly along the sequence.

The logit of the rate is a natural cubic spline of the place in the sequence, whose ends do not swing out, fitted to binomial counts.
Standard errors are widened by the counts' dispersion around the curve (quasi-likelihood: McCullagh and Nelder 1989, *Generalized Linear
Models*, section 4.5).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.interpolate import CubicSpline
from scipy.special import expit

from trajectories.statistics.point_process import Process

CONF_LEVEL = 0.95
_MOST_PARTS = 400
_GRID = 41
_LEAST_EVENTS = 20


@dataclass(frozen=True)
class Trend:
    """A smooth rate against a constant one.

    Attributes:
        x: places, 0 the first trial and 1 the last [g].
        rate, low, high: fitted rate with pointwise 95 % intervals [g].
        ratio: highest over lowest fitted rate.
        ci_low, ci_high: 95 % interval of that ratio that allows for the choice of the two places; its lower end is 1 where the data do not
            tell the curve from a constant.
        highest, lowest: the two places.
        p: F test of the curve against a constant rate.
        index_left: dispersion index of the counts in bins of ``width`` around the curve.
        width, n, n_events: trials per bin of ``index_left``, trials and events.
    """

    x: np.ndarray
    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ratio: float
    ci_low: float
    ci_high: float
    highest: float
    lowest: float
    p: float
    index_left: float
    width: int
    n: int
    n_events: int


def trend(process: Process, width: int, generator: np.random.Generator, df: int = 3, replicates: int = 2000) -> Trend | None:
    """Fit a smooth rate and compare it with a constant one.

    The interval of the ratio is simultaneous over all pairs of places: each pair's log ratio of rates gets an interval whose critical value
    is that of the largest deviation over all pairs, and the largest lower and the largest upper end bound the largest log ratio.

    Args:
        process: trials and events.
        width: trials per bin of the dispersion that is left.
        generator: for the critical value.
        df: coefficients beyond the constant, at least 2.
        replicates: draws for the critical value.

    Returns:
        None with fewer than 20 events or non-events, too few trials, or without convergence (no events in a long stretch).

    Raises:
        ValueError: ``df`` is below 2.
    """
    if df < 2:
        raise ValueError(f"a curve has at least 2 coefficients beyond the constant, found {df}")
    m = len(process.events)
    parts = min(_MOST_PARTS, process.n // width)
    if min(m, process.n - m) < _LEAST_EVENTS or parts < 5 * df:
        return None
    edges = np.linspace(0, process.n, parts + 1).round().astype(np.int64)
    sizes = np.diff(edges)
    events = np.diff(np.searchsorted(process.events, edges))
    basis = _basis((edges[:-1] + edges[1:] - 1) / 2 / max(process.n - 1, 1), df)
    fitted = _fit(events, sizes, basis)
    if fitted is None:
        return None
    coefficients, covariance, deviance, dispersion = fitted
    null = process.rate
    deviance_null = _deviance(events, sizes, np.full(parts, null))
    p = float(stats.f.sf((deviance_null - deviance) / df / dispersion, df, parts - df - 1))
    x = np.linspace(0, 1, _GRID)
    columns = _basis(x, df)
    rate = expit(columns @ coefficients)
    stderr = np.sqrt(np.einsum("gi,ij,gj->g", columns, covariance, columns))
    reach = stats.norm.ppf((1 + CONF_LEVEL) / 2) * stderr
    logit = columns @ coefficients
    ratio, ci_low, ci_high = _ratio(columns, rate, covariance, generator, replicates)
    return Trend(
        x, rate, expit(logit - reach), expit(logit + reach), ratio, ci_low, ci_high, float(x[np.argmax(rate)]), float(x[np.argmin(rate)]),
        p, _left(process, width, coefficients, df), width, process.n, m,
    )  # fmt: skip


def _basis(x: np.ndarray, df: int) -> np.ndarray:
    """Natural cubic splines on [0, 1] with evenly spaced knots: [n, df + 1], each 1 at its knot; they add up to 1, a constant."""
    return CubicSpline(np.linspace(0, 1, df + 1), np.eye(df + 1), bc_type="natural")(x)


def _fit(events: np.ndarray, sizes: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float] | None:
    """Coefficients, covariance, deviance and dispersion of the binomial regression; None without convergence."""
    import statsmodels.api as sm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = sm.GLM(np.stack([events, sizes - events], axis=1), basis, family=sm.families.Binomial()).fit()
        except (np.linalg.LinAlgError, ValueError, sm.tools.sm_exceptions.PerfectSeparationError):
            return None
    covariance = np.asarray(result.cov_params())
    if not result.converged or not np.isfinite(covariance).all() or np.sqrt(np.diag(covariance)).max() > 10:
        return None
    dispersion = max(float(result.pearson_chi2) / result.df_resid, 1.0)
    return np.asarray(result.params), covariance * dispersion, float(result.deviance), dispersion


def _deviance(events: np.ndarray, sizes: np.ndarray, rate: np.ndarray) -> float:
    rest = sizes - events
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(events > 0, events * np.log(events / (sizes * rate)), 0.0)
        part += np.where(rest > 0, rest * np.log(rest / (sizes * (1 - rate))), 0.0)
    return float(2 * part.sum())


def _ratio(
    columns: np.ndarray, rate: np.ndarray, covariance: np.ndarray, generator: np.random.Generator, replicates: int
) -> tuple[float, float, float]:
    first, second = (i.ravel() for i in np.meshgrid(np.arange(_GRID), np.arange(_GRID)))
    first, second = first[first != second], second[first != second]
    slope = (1 - rate)[:, None] * columns  # of the log rate in the coefficients
    contrast = slope[first] - slope[second]
    value = np.log(rate[first]) - np.log(rate[second])
    stderr = np.sqrt(np.maximum(np.einsum("pi,ij,pj->p", contrast, covariance, contrast), 1e-300))
    draws = generator.multivariate_normal(np.zeros(len(covariance)), covariance, size=replicates, method="svd")
    critical = float(np.quantile(np.abs(draws @ contrast.T / stderr).max(axis=1), CONF_LEVEL))
    low, high = max(float((value - critical * stderr).max()), 0.0), float((value + critical * stderr).max())
    return math.exp(float(value.max())), math.exp(low), math.exp(min(high, 700.0))


def _left(process: Process, width: int, coefficients: np.ndarray, df: int) -> float:
    counts = process.counts(width)
    bins = len(counts)
    # the curve is smooth: a thousand places tell it for any number of bins
    grid = np.linspace(0, 1, 1001)
    middle = ((np.arange(bins) + 0.5) * width - 0.5) / max(process.n - 1, 1)
    rate = np.interp(middle, grid, expit(_basis(grid, df) @ coefficients))
    return float((np.square(counts - width * rate) / (width * rate * (1 - rate))).sum() / (bins - df - 1))
