"""Effects of a treatment that units enter at different periods: staggered difference-in-differences.

The estimator is that of Callaway and Sant'Anna (2021, *J. Econometrics* 225, 200), without covariates and with a universal base period: the
effect on cohort g at period t is the change of its mean since the last period before treatment, less the change of the control units' mean
over the same periods (their equation 2.8 and 2.9). It rests on parallel trends: without treatment both would have changed alike.

Everything is linear in the cohorts' means, so a perturbation of the means is a perturbation of every effect. Intervals come from the
multiplier bootstrap (their section 4.1) with one standard normal multiplier for each cluster, simultaneous bands from the largest |t| over
a family of effects. Sizes of cohorts are taken as fixed by the design. Residuals are scaled by √(C/(C − 1)) for a cohort of C clusters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from trajectories.statistics.claims import Result

Control = Literal["never", "not-yet"]
NEVER = -1
"""Cohort of the units that are not treated at any period of the panel."""

_CHUNK = 100


@dataclass(frozen=True)
class Cohorts:
    """Treatment is known to the interval between two periods; neighbouring intervals may be one cohort.

    Attributes:
        base: the last period before any unit of the cohort is treated [h], ascending.
        first: the first period at which all its units are treated [h]; between the two, effects are not defined.
        member: number of each unit's cohort [n]; :data:`NEVER` if not treated within the panel.
    """

    base: np.ndarray
    first: np.ndarray
    member: np.ndarray


def cohorts(treated: np.ndarray, periods: int, least: int = 1) -> Cohorts:
    """Cohorts by the first period that finds a unit treated.

    From the first period on, neighbouring periods are joined until a cohort has ``least`` units; what is left over at the end joins the
    last cohort.

    Args:
        treated: first treated period of each unit [n], from 1 (0 would leave no period before); ``periods`` or more: never treated.
        periods: number of periods of the panel.
        least: units that a cohort should have.

    Raises:
        ValueError: a unit is treated before the first period.
    """
    treated = np.asarray(treated)
    if len(treated) and treated.min() < 1:
        raise ValueError("a unit that is treated at the first period has no period before")
    counts = np.bincount(np.minimum(treated, periods), minlength=periods + 1)[:periods]
    spans: list[list[int]] = []
    start, held = 0, 0
    for period in range(1, periods):
        held += counts[period]
        if held >= max(least, 1):
            spans.append([start, period])
            start, held = period, 0
        elif not held:
            start = period
    if held and spans:
        spans[-1][1] = int(np.flatnonzero(counts)[-1])
    base = np.array([s for s, _ in spans], dtype=int)
    first = np.array([f for _, f in spans], dtype=int)
    member = np.searchsorted(first, treated, side="left")
    return Cohorts(base, first, np.where((treated >= periods) | (member >= len(first)), NEVER, member))


@dataclass(frozen=True)
class Panel:
    """Outcomes of units over periods.

    Attributes:
        y: outcomes [n, t].
        cohorts: when each unit is treated.
        clusters: label of each unit's cluster [n]; units of different clusters are independent.
        control: ``never``: units never treated; ``not-yet``: these and, at each period, the cohorts not yet treated.
        weights: inverse of each unit's probability of being drawn [n]; all alike if absent.
    """

    y: np.ndarray
    cohorts: Cohorts
    clusters: np.ndarray
    control: Control = "never"
    weights: np.ndarray | None = None

    @cached_property
    def counts(self) -> np.ndarray:
        """Units of each cohort, the never treated last [h + 1]."""
        return np.bincount(self._place, minlength=len(self.cohorts.base) + 1)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Sum of the units' weights in each cohort, the never treated last [h + 1]."""
        return np.bincount(self._place, self.weights, minlength=len(self.cohorts.base) + 1).astype(float)

    @cached_property
    def means(self) -> np.ndarray:
        """Mean outcome of each cohort, the never treated last [h + 1, t]; NaN for a cohort without units."""
        y = np.asarray(self.y, dtype=float)
        total = self._by_cohort(y if self.weights is None else y * self.weights[:, None])
        return total / np.where(self.sizes > 0, self.sizes, np.nan)[:, None]

    @cached_property
    def pool(self) -> np.ndarray:
        """Controls of each effect, as the first cohort from which on all cohorts, and the never treated, are its controls [h, t]."""
        base, periods = self.cohorts.base, np.arange(self.y.shape[1])
        if self.control == "never":
            return np.full((len(base), len(periods)), len(base))
        untreated = np.searchsorted(base, periods, side="left")
        return np.where(periods[None] > base[:, None], untreated[None], np.arange(1, len(base) + 1)[:, None])

    @cached_property
    def n_controls(self) -> np.ndarray:
        """Control units of each effect [h, t]."""
        return np.cumsum(self.counts[::-1])[::-1][self.pool]

    @cached_property
    def event(self) -> np.ndarray:
        """Periods since the first treated one [h, t]: 0 at it, −1 at the base period; NaN between the two."""
        base, first = self.cohorts.base[:, None], self.cohorts.first[:, None]
        t = np.arange(self.y.shape[1])[None]
        return np.where(t >= first, t - first, np.where(t <= base, t - base - 1.0, np.nan))

    def effects(self) -> np.ndarray:
        """Effect on each cohort at each period [h, t], 0 at its base period; NaN where it is not defined or has no controls."""
        return np.where(np.isnan(self.event), np.nan, self._effects(self.means))

    def differences(self) -> np.ndarray:
        """Mean of each cohort less that of the same controls at the same period [h, t], without regard to the time before."""
        periods = np.arange(self.y.shape[1])
        return np.where(np.isnan(self.event), np.nan, self.means[:-1] - self._pooled(self.means)[self.pool, periods])

    def replicates(self, draws: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Deviations of :meth:`effects` and :meth:`differences` under the multiplier bootstrap, each [draws, h, t] (float32)."""
        labels = np.unique(self.clusters, return_inverse=True)[1]
        order = np.argsort(self._place, kind="stable")
        residuals = self._residuals[order].astype(np.float32)
        bounds = np.concatenate([[0], np.cumsum(self.counts)])
        periods = np.arange(self.y.shape[1])
        effects, differences = (np.empty((draws, len(self.cohorts.base), len(periods)), dtype=np.float32) for _ in range(2))
        for start in range(0, draws, _CHUNK):
            many = slice(start, min(start + _CHUNK, draws))
            multipliers = generator.standard_normal((many.stop - start, int(labels.max()) + 1), dtype=np.float32)[:, labels[order]]
            moved = np.zeros((many.stop - start, len(self.sizes), len(periods)), dtype=np.float32)
            for h, size in enumerate(self.sizes):
                if size:
                    part = slice(bounds[h], bounds[h + 1])
                    moved[:, h] = multipliers[:, part] @ residuals[part] / size
            effects[many] = self._effects(moved)
            differences[many] = moved[:, :-1] - self._pooled(moved)[:, self.pool, periods]
        undefined = np.isnan(self.effects())
        effects[:, undefined] = differences[:, undefined] = np.nan
        return effects, differences

    def contrast(self, weights: np.ndarray, unit: float = 1.0, *, simple: bool = False) -> Result:
        """A weighted sum of effects with its cluster-robust standard error.

        The clusters' sums of the influence function give the variance; Student's t has as many degrees of freedom as there are effective
        clusters, less one (a cluster counts by its units' squared weights).

        Args:
            weights: of the effects [h, t]; 0 where they do not enter.
            unit: divides estimate and standard error.
            simple: of :meth:`differences` instead.
        """
        used = weights != 0
        values = self.differences() if simple else self.effects()
        n = int(self.counts[:-1][used.any(axis=1)].sum())
        method = f"staggered {'difference of means' if simple else 'difference-in-differences'}, clustered influence functions"
        if not used.any() or not np.isfinite(values[used]).all():
            return Result(math.nan, n=n, method=method, problem="some of the effects have no control rows")
        loads = self._loads(np.where(used, weights, 0.0), simple) / np.where(self.sizes > 0, self.sizes, 1.0)[:, None]
        influence = np.einsum("nt,nt->n", self._residuals, loads[self._place])
        entering = np.square(loads).sum(axis=1)[self._place]
        labels = np.unique(self.clusters[entering > 0], return_inverse=True)[1]
        sums = np.bincount(labels, influence[entering > 0])
        shares = np.bincount(labels, entering[entering > 0])
        df = float(np.clip(shares.sum() ** 2 / np.square(shares).sum() - 1, 1, max(len(sums) - 1, 1)))
        stderr = math.sqrt(float(sums @ sums)) / unit
        return Result(float((weights[used] * values[used]).sum()) / unit, stderr, df, n=n, n_clusters=len(sums), method=method)

    @cached_property
    def _place(self) -> np.ndarray:
        return np.where(self.cohorts.member == NEVER, len(self.cohorts.base), self.cohorts.member)

    @cached_property
    def _residuals(self) -> np.ndarray:
        """Outcomes less their cohort's mean, weighted, and scaled for its number of clusters [n, t]."""
        labels = np.unique(self.clusters, return_inverse=True)[1]
        pairs = np.unique(labels * len(self.sizes) + self._place)
        count = np.bincount(pairs % len(self.sizes), minlength=len(self.sizes)).astype(float)
        scale = np.sqrt(count / np.maximum(count - 1, 1))[self._place]
        return (self.y - self.means[self._place]) * (scale if self.weights is None else scale * self.weights)[:, None]

    def _by_cohort(self, values: np.ndarray) -> np.ndarray:
        order = np.argsort(self._place, kind="stable")
        found = np.zeros((len(self.sizes), values.shape[1]))
        filled = np.flatnonzero(self.counts)
        starts = np.concatenate([[0], np.cumsum(self.counts)])[filled]
        if len(filled):
            found[filled] = np.add.reduceat(values[order], starts, axis=0)
        return found

    def _pooled(self, means: np.ndarray) -> np.ndarray:
        """Mean over all units from each cohort on, the never treated included [..., h + 1, t]."""
        weighted = np.where(self.sizes[:, None] > 0, means * self.sizes[:, None].astype(means.dtype), 0)
        total = np.cumsum(self.sizes[::-1])[::-1]
        total = np.where(total > 0, total, np.nan)[:, None].astype(means.dtype)
        return np.cumsum(weighted[..., ::-1, :], axis=-2)[..., ::-1, :] / total

    def _effects(self, means: np.ndarray) -> np.ndarray:
        pooled = self._pooled(means)
        base, periods = self.cohorts.base[:, None], np.arange(self.y.shape[1])[None]
        own = means[..., :-1, :]
        before = np.take_along_axis(own, np.broadcast_to(base, (*own.shape[:-1], 1)), axis=-1)
        return (own - before) - (pooled[..., self.pool, periods] - pooled[..., self.pool, base])

    def _loads(self, weights: np.ndarray, simple: bool) -> np.ndarray:
        """What a weighted sum of effects is in terms of the cohorts' means [h + 1, t]."""
        base, periods = self.cohorts.base[:, None], np.arange(self.y.shape[1])[None]
        own = np.zeros((len(self.sizes), self.y.shape[1]))
        own[:-1] = weights
        pools = np.zeros_like(own)
        np.add.at(pools, (self.pool, periods), -weights)
        if not simple:
            own[np.arange(len(base)), base[:, 0]] -= weights.sum(axis=1)
            np.add.at(pools, (self.pool, np.broadcast_to(base, weights.shape)), weights)
        total = np.cumsum(self.sizes[::-1])[::-1]
        return own + self.sizes[:, None] * np.cumsum(pools / np.where(total > 0, total, 1.0)[:, None], axis=0)


@dataclass(frozen=True)
class Aggregate:
    """Weighted sums of effects, with 95 % intervals.

    Attributes:
        estimate, stderr: [k].
        critical: half-width, in standard errors, of the simultaneous band over the k sums.
    """

    estimate: np.ndarray
    stderr: np.ndarray
    critical: float


def aggregate(values: np.ndarray, replicates: np.ndarray, weights: np.ndarray, conf_level: float = 0.95) -> Aggregate:
    """Weighted sums of effects, their standard errors over replicates, and the critical value of their simultaneous band.

    Args:
        values: effects [h, t].
        replicates: their deviations [draws, h, t].
        weights: [k, h, t]; an effect that is not defined may have no weight.
        conf_level: of the simultaneous band.
    """
    flat = weights.reshape(len(weights), -1)
    used = (flat != 0).any(axis=0)
    estimate = flat[:, used] @ values.reshape(-1)[used]
    moved = replicates.reshape(len(replicates), -1)[:, used] @ flat[:, used].T.astype(np.float32)
    stderr = moved.std(axis=0, ddof=1, dtype=float) if len(moved) > 1 else np.full(len(estimate), np.nan)
    stderr = np.where(stderr > 0, stderr, np.nan)
    if not np.isfinite(stderr).any():
        return Aggregate(estimate, stderr, math.nan)
    largest = np.nanmax(np.abs(moved) / stderr, axis=1)
    return Aggregate(estimate, stderr, float(np.quantile(largest, conf_level)))


def shares(chosen: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Weights of a mean over the chosen effects, each cohort counting by its units (Callaway and Sant'Anna 2021, section 3).

    Args:
        chosen: bool [..., h, t].
        sizes: units of each cohort [h].
    """
    weighted = chosen * sizes[:, None]
    total = weighted.sum(axis=(-2, -1), keepdims=True)
    return weighted / np.where(total > 0, total, 1.0)


def slope_weights(x: np.ndarray, sizes: np.ndarray, covariates: Sequence[np.ndarray] = ()) -> np.ndarray | None:
    """Weights that turn the cohorts' effects into their least-squares slope on ``x``, each cohort counting by its units.

    Args:
        x: place of each cohort [h].
        sizes: units of each cohort [h]; 0 leaves it out.
        covariates: further columns of the regression, each [h].

    Returns:
        [h]; None where the cohorts do not determine a slope.
    """
    used = sizes > 0
    columns = np.column_stack([np.ones(used.sum()), x[used], *(c[used] for c in covariates)])
    if len(columns) <= columns.shape[1] or np.linalg.matrix_rank(columns - [0, *columns.mean(axis=0)[1:]]) < columns.shape[1]:
        return None
    root = np.sqrt(sizes[used])[:, None]
    found = np.zeros(len(x))
    found[used] = (np.linalg.pinv(columns * root) * root.T)[1]
    return found
