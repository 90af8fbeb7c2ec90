"""Regression of an outcome on the position in the training order, with standard errors that respect clusters.

The position is scaled to run from 0 (first row seen) to 1 (last row seen), so that its coefficient is the difference between the two ends:
a log odds ratio for a binary outcome, a difference of means for a continuous one.

Binary outcomes are fitted by Firth's penalised likelihood (Firth 1993, *Biometrika* 80; Heinze and Schemper 2002, *Stat. Med.* 21), which
stays finite and nearly unbiased where events are rare. Standard errors come from the cluster jackknife (MacKinnon, Nielsen and Webb 2023,
*J. Appl. Econometrics* 38, estimator CV3), in linearised form where the model is logistic; it is more cautious than the usual sandwich
where clusters are few or uneven. The t quantiles have as many degrees of freedom as there are effective clusters for the coefficient, less
one (after Carter, Schnepel and Steigerwald 2017, *Rev. Econ. Stat.* 99), so a large cluster widens the interval. Where one cluster holds
nearly everything, the others cannot tell how much it varies, and there is no verdict (:data:`LEAST_EFFECTIVE`).

Units sampled with unequal probability carry weights, proportional to the inverse of that probability; a fit then speaks of the population.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from trajectories.statistics.claims import Result
from trajectories.statistics.linearity import bends

LEAST_VARIED = 10
"""A covariate enters only if at least so many units differ from its commonest value."""

LEAST_EFFECTIVE = 5.0
"""With fewer effective clusters for a coefficient there is no verdict on it."""

_MOST_ITERATIONS, _TOLERANCE, _LARGEST_STEP = 50, 1e-7, 5.0


def components(n: int, *links: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Clusters as connected components: two items belong together if a chain of shared keys joins them.

    Args:
        n: number of items, numbered from 0.
        links: pairs of arrays (item, key) of equal length; an item may occur with many keys or with none. Keys of different links are
            different things (a batch and a copy group) and are never taken for each other.

    Returns:
        int array [n]: the item's cluster, numbered from 0.
    """
    items, nodes, offset = [], [], n
    for item, key in links:
        codes, unique = pd.factorize(np.asarray(key))
        items.append(np.asarray(item, dtype=np.int64))
        nodes.append(codes + offset)
        offset += len(unique)
    row, column = (np.concatenate(x) if x else np.empty(0, np.int64) for x in (items, nodes))
    graph = sparse.coo_matrix((np.ones(len(row), np.int8), (row, column)), shape=(offset, offset))
    labels = connected_components(graph, directed=False)[1][:n]
    return np.unique(labels, return_inverse=True)[1]


@dataclass(frozen=True)
class Fit:
    """A fitted regression.

    Attributes:
        names: names of the coefficients.
        coefficients: [k].
        covariance: cluster-robust covariance of the coefficients [k, k].
        effective: effective number of clusters for each coefficient [k].
        n, n_clusters: units and clusters.
        n_events: binary outcomes: units with outcome 1.
        residual_sd: continuous outcomes: standard deviation of the residuals, in the outcome's unit.
        method: name of the method.
        problem: why the fit cannot be used, as a clause, or None.
    """

    names: tuple[str, ...]
    coefficients: np.ndarray
    covariance: np.ndarray
    effective: np.ndarray
    n: int
    n_clusters: int
    n_events: int | None
    residual_sd: float
    method: str
    problem: str | None = None

    @property
    def df(self) -> np.ndarray:
        """Degrees of freedom of each coefficient's t quantile [k]: effective clusters less one, at least 1."""
        return np.clip(self.effective - 1, 1.0, max(self.n_clusters - 1, 1))

    def result(self, name: str, unit: float = 1.0) -> Result:
        """One coefficient as a :class:`~trajectories.statistics.claims.Result`, with a problem if a few clusters decide it.

        Args:
            name: of the coefficient.
            unit: divides estimate and standard error (a standard deviation, to express a difference in its units).

        Raises:
            KeyError: there is no such coefficient.
        """
        return self.combined({name: 1.0}, unit)

    def combined(self, weights: Mapping[str, float], unit: float = 1.0) -> Result:
        """A linear combination of coefficients, with the fewest effective clusters and degrees of freedom of those that take part.

        Args:
            weights: coefficient to its weight.
            unit: divides estimate and standard error.

        Raises:
            KeyError: there is no such coefficient.
        """
        facts = {"n": self.n, "n_clusters": self.n_clusters, "n_events": self.n_events, "method": self.method, "problem": self.problem}
        missing = sorted(set(weights) - set(self.names))
        if missing and self.problem is None:
            raise KeyError(f"no coefficient called '{missing[0]}' among {self.names}")
        if missing:
            return Result(math.nan, **facts)  # type: ignore[arg-type]
        vector = np.array([weights.get(name, 0.0) for name in self.names])
        stderr = math.sqrt(max(float(vector @ self.covariance @ vector), 0.0)) / unit
        effective = float(self.effective[vector != 0].min())
        if self.problem is None and effective < LEAST_EFFECTIVE:
            facts["problem"] = (
                f"the {self.n_clusters:,} clusters differ so much in size that they count as {effective:.1f}, fewer than "
                f"{LEAST_EFFECTIVE:g}"
            )
        return Result(float(vector @ self.coefficients) / unit, stderr, float(self.df[vector != 0].min()), **facts)  # type: ignore[arg-type]


def design(position: np.ndarray, covariates: Mapping[str, np.ndarray] | None = None, knots: int = 2) -> tuple[np.ndarray, tuple[str, ...]]:
    """The columns of the regression: intercept, position, covariates in standard units.

    Covariates that the columns before them already determine are left out, and so are those that differ from their commonest value in fewer
    than :data:`LEAST_VARIED` units, which could fit those units and little else.

    Args:
        position: [n], 0 for the first row seen and 1 for the last.
        covariates: name to values [n].
        knots: more than 2 add the columns of :func:`trajectories.statistics.linearity.bends` (named ``bend 1`` …), to check whether the
            trend is straight.

    Returns:
        The matrix [n, k] and its column names.
    """
    x = np.asarray(position, dtype=float)
    columns, names = [np.ones_like(x), x], ["intercept", "position"]
    if knots > 2:
        curves = bends(x, x, knots)
        columns += list(curves.T)
        names += [f"bend {i + 1}" for i in range(curves.shape[1])]
    for name, values in (covariates or {}).items():
        value = np.asarray(values, dtype=float)
        spread = value.std() if len(value) else 0.0
        _, times = np.unique(value, return_counts=True)
        if not np.isfinite(spread) or spread < 1e-12 or len(value) - times.max() < LEAST_VARIED:
            continue
        standard = (value - value.mean()) / spread
        known = np.stack(columns, axis=1)
        left = standard - known @ np.linalg.lstsq(known, standard, rcond=None)[0]
        if left @ left > 1e-8 * len(left):
            columns.append(standard)
            names.append(name)
    return np.stack(columns, axis=1), tuple(names)


def linear(y: np.ndarray, x: np.ndarray, clusters: np.ndarray, names: tuple[str, ...], weights: np.ndarray | None = None) -> Fit:
    """Least squares with the cluster jackknife's standard errors.

    Args:
        y: outcome [n].
        x: columns [n, k], as :func:`design` makes them.
        clusters: cluster of each unit [n], integers from 0.
        names: of the columns.
        weights: proportional to the inverse of each unit's probability of being sampled [n]; None for equal ones.
    """
    y = np.asarray(y, dtype=float)
    problem = _unusable(x, clusters)
    if problem:
        return no_fit(names, len(y), clusters, None, "OLS", problem)
    method = "OLS, cluster jackknife (CV3)"
    if weights is None or np.ptp(weights) == 0:
        w = np.ones(len(y))
        beta = np.linalg.lstsq(x, y, rcond=None)[0]
    else:
        w = np.asarray(weights, dtype=float) / np.mean(weights)
        beta = np.linalg.lstsq(x * np.sqrt(w)[:, None], y * np.sqrt(w), rcond=None)[0]
        method = "weighted least squares, cluster jackknife (CV3)"
    residual = y - x @ beta
    spread = float(np.sqrt((w * residual) @ residual / max(len(y) - x.shape[1], 1)))
    covariance, effective, count = _jackknife(x, x * (w * residual)[:, None], w, w * w, clusters)
    return Fit(names, beta, covariance, effective, len(y), count, None, spread, method)


def firth_logistic(y: np.ndarray, x: np.ndarray, clusters: np.ndarray, names: tuple[str, ...], weights: np.ndarray | None = None) -> Fit:
    """Logistic regression with Firth's penalty and the linearised cluster jackknife's standard errors.

    Maximises Σ w·log-likelihood + ½ log det(XᵀWX) by Newton steps on the modified score Xᵀ(w(y − p) + h(½ − p)), h being the leverages,
    with step-halving. The clusters' contributions to that score give the jackknife. Weights are scaled so that those of the rarer outcome
    add up to its effective number (Σw)²/Σw²: where all events are sampled and few non-events, as in a case-control sample, the penalty is
    that of the population.

    Args:
        y: outcome [n], 0 or 1.
        x: columns [n, k], as :func:`design` makes them.
        clusters: cluster of each unit [n], integers from 0.
        names: of the columns.
        weights: proportional to the inverse of each unit's probability of being sampled [n]; None for equal ones.
    """
    y = np.asarray(y, dtype=float)
    equal = weights is None or np.ptp(weights) == 0
    method = f"{'' if equal else 'weighted '}Firth logistic regression, cluster jackknife (CV3L)"
    problem = _unusable(x, clusters)
    if not 0 < y.sum() < len(y):
        problem = f"{'all' if y.sum() else 'none'} of {len(y)} units are events"
    if problem:
        return no_fit(names, len(y), clusters, int(y.sum()), method, problem)
    w = np.ones(len(y)) if equal else _scaled(np.asarray(weights, dtype=float), y)
    beta = np.zeros(x.shape[1])
    share = (w @ y + 0.5) / (w.sum() + 1)
    if "intercept" in names:
        beta[names.index("intercept")] = math.log(share / (1 - share))
    objective, score, information, spread = _penalised(beta, y, x, w)
    converged = False
    for _ in range(_MOST_ITERATIONS):
        step = np.linalg.solve(information, score.sum(axis=0))
        step *= min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        for _ in range(20):
            trial = _penalised(beta + step, y, x, w)
            if trial[0] >= objective - 1e-10 * abs(objective):
                break
            step = step / 2
        beta = beta + step
        objective, score, information, spread = trial
        if np.abs(step).max() < _TOLERANCE:
            converged = True
            break
    # with equal weights the model tells how much a unit's score varies; with unequal ones that depends on which units were sampled
    varies = spread if equal else (w * (y - expit(x @ beta))) ** 2
    covariance, effective, count = _jackknife(x, score, spread, varies, clusters)
    problem = None if converged else "the penalised likelihood did not converge"
    return Fit(names, beta, covariance, effective, len(y), count, int(y.sum()), math.nan, method, problem)


def _scaled(weights: np.ndarray, y: np.ndarray) -> np.ndarray:
    events = y > 0.5
    rarer = weights[events] if weights[events].sum() <= weights[~events].sum() else weights[~events]
    return weights * rarer.sum() / (rarer @ rarer)


def _penalised(beta: np.ndarray, y: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Penalised log-likelihood, modified score of each unit [n, k], information [k, k] and each unit's share in it [n]."""
    eta = x @ beta
    p = expit(eta)
    spread = np.maximum(w * p * (1 - p), 1e-12)
    information = (x * spread[:, None]).T @ x
    leverage = spread * np.einsum("ij,ij->i", x @ np.linalg.inv(information), x)
    objective = float(w @ (y * eta - np.logaddexp(0, eta)) + 0.5 * np.linalg.slogdet(information)[1])
    return objective, x * (w * (y - p) + leverage * (0.5 - p))[:, None], information, spread


def _jackknife(
    x: np.ndarray, score: np.ndarray, weights: np.ndarray, varies: np.ndarray, clusters: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Covariance [k, k], effective number of clusters [k] and number of clusters.

    With M = Σ weight·xxᵀ the information and B = Σ varies·xxᵀ the variance of the score if units were independent, a cluster's share in
    coefficient j is that of M⁻¹ B_g M⁻¹ in M⁻¹ B M⁻¹.
    """
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=clusters[order[0]] - 1))
    x, weights, varies = x[order], weights[order], varies[order]
    parts = _moments(x, weights, starts)
    inverse = np.linalg.inv(parts.sum(axis=0))
    shares = np.add.reduceat((x @ inverse) ** 2 * varies[:, None], starts, axis=0)
    covariance, effective = clustered(parts, np.add.reduceat(score[order], starts, axis=0), shares)
    return covariance, effective, len(starts)


def clustered(parts: np.ndarray, sums: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cluster jackknife (CV3) from sums over clusters.

    Leaving cluster g out moves the coefficients by −(M − M_g)⁻¹ s_g, M being the sum of all M_g; the covariance is (G − 1)/G times the sum
    of these moves' squares. The effective number of clusters of a coefficient is (Σ share)²/Σ share².

    Args:
        parts: information M_g of each cluster [G, k, k].
        sums: score s_g of each cluster [G, k].
        shares: each cluster's share in the variance of each coefficient, up to a factor [G, k].

    Returns:
        Covariance [k, k] and effective number of clusters [k].
    """
    count = len(parts)
    moves = _solve(parts.sum(axis=0), parts, sums)
    squares = (shares**2).sum(axis=0)
    effective = np.where(squares > 0, shares.sum(axis=0) ** 2 / np.where(squares > 0, squares, 1.0), 1.0)
    return (count - 1) / count * moves.T @ moves, effective


def _moments(x: np.ndarray, weights: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Σ weight·xxᵀ of each cluster [G, k, k], units being sorted by cluster; column by column, so that memory stays near that of x."""
    k = x.shape[1]
    parts = np.empty((len(starts), k, k))
    for i in range(k):
        parts[:, i, i:] = np.add.reduceat((x[:, i] * weights)[:, None] * x[:, i:], starts, axis=0)
        parts[:, i:, i] = parts[:, i, i:]
    return parts


def _solve(whole: np.ndarray, parts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(whole[None] - parts, sums[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:  # a coefficient that one cluster alone informs
        return np.stack([np.linalg.pinv(whole - part) @ s for part, s in zip(parts, sums, strict=True)])


def _unusable(x: np.ndarray, clusters: np.ndarray) -> str | None:
    if len(x) <= x.shape[1]:
        return f"only {len(x)} rows for {x.shape[1]} coefficients"
    if len(np.unique(clusters)) < 3:
        return f"only {len(np.unique(clusters))} independent clusters"
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return "the position does not vary among the rows"
    return None


def no_fit(names: tuple[str, ...], n: int, clusters: np.ndarray, events: int | None, method: str, problem: str) -> Fit:
    """A fit without coefficients that says why."""
    k = len(names)
    empty = np.full(k, math.nan)
    return Fit(names, empty, np.full((k, k), math.nan), empty, n, len(np.unique(clusters)), events, math.nan, method, problem)
