"""Survival of a state that is looked at only now and then: when, between two looks, it was lost is not known.

A unit is at risk between two looks if it has the state at the first. The loss is interval-censored (it happened somewhere between), units
enter late (the state is first seen at some age) and leave when something restarts their age. The hazard is taken as constant within
intervals of age, so that P(lost between ages a and b) = 1 − exp(−Σₖ λₖ dₖ), dₖ being the time that [a, b) has in interval k; the rates are
those of maximum likelihood (Lindsey and Ryan 1998, *Stat. Med.* 17), found by the EM algorithm for a Poisson process of which only is seen
whether anything happened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from trajectories.statistics.intervals import resample_counts

_MOST_ITERATIONS, _TOLERANCE = 500, 1e-4


@dataclass(frozen=True)
class AtRisk:
    """Intervals between looks.

    Attributes:
        start, end: age at both looks [m].
        events: units that lost the state between [m].
        total: units at risk [m].
        cluster: integers from 0 [m].
        look: number of the second look [m].
    """

    start: np.ndarray
    end: np.ndarray
    events: np.ndarray
    total: np.ndarray
    cluster: np.ndarray
    look: np.ndarray


@dataclass(frozen=True)
class Survival:
    """A survival curve.

    Attributes:
        edges: ends of the intervals of age, ascending from 0 [k + 1].
        rate, rate_low, rate_high: hazard in each interval, per unit of age, with 95 % intervals [k].
        value, low, high: share that still has the state at each edge, with pointwise 95 % intervals [k + 1].
        n: intervals between looks.
        n_events: losses.
        n_clusters: clusters.
    """

    edges: np.ndarray
    rate: np.ndarray
    rate_low: np.ndarray
    rate_high: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int
    n_events: int
    n_clusters: int


def lost(state: np.ndarray, latest: np.ndarray, looks: np.ndarray, clusters: np.ndarray) -> AtRisk:
    """The intervals in which units may lose a state.

    Args:
        state: whether a unit has it at a look, bool [n, t].
        latest: time of the latest event, so far, that restarts a unit's age; negative before the first [n, t].
        looks: times of the looks, ascending [t].
        clusters: of each unit, integers from 0 [n].

    Returns:
        One entry per unit and pair of successive looks between which its age was not restarted and at the first of which it has the state.
    """
    return _between(state[:, :-1], ~state[:, 1:], latest, looks, clusters)


def regained(state: np.ndarray, latest: np.ndarray, looks: np.ndarray, clusters: np.ndarray) -> AtRisk:
    """The intervals in which units may regain a state that they had and lost since their age was last restarted; ``events`` counts those.

    Arguments and result are those of :func:`lost`.
    """
    had = np.zeros_like(state)
    for j in range(1, state.shape[1]):
        had[:, j] = (had[:, j - 1] | state[:, j - 1]) & (latest[:, j] == latest[:, j - 1])
    return _between((had & ~state)[:, :-1], state[:, 1:], latest, looks, clusters)


def _between(risk: np.ndarray, event: np.ndarray, latest: np.ndarray, looks: np.ndarray, clusters: np.ndarray) -> AtRisk:
    unit, look = np.nonzero(risk & (latest[:, :-1] >= 0) & (latest[:, 1:] == latest[:, :-1]))
    since = latest[unit, look]
    return AtRisk(
        looks[look] - since, looks[look + 1] - since, event[unit, look].astype(float), np.ones(len(unit)), clusters[unit], look + 1
    )


def edges_of(risk: AtRisk, intervals: int) -> np.ndarray:
    """Ages that part the intervals at risk into about equally many events and units; from 0 to the last age [at most intervals + 1]."""
    inner = np.quantile(risk.end, np.arange(1, intervals) / intervals) if len(risk.end) else []
    return np.unique(np.concatenate([[0.0], np.round(inner), [float(risk.end.max()) if len(risk.end) else 1.0]]))


def survival(risk: AtRisk, edges: np.ndarray, generator: np.random.Generator, replicates: int = 199) -> Survival | None:
    """The survival curve with percentile intervals over resampled clusters; None with no interval at risk or fewer than 3 clusters.

    Two further clusters take part in the resamples, though not in the estimate: one unit that kept the state through all ages and one that
    lost it. Otherwise the interval would have no width where nothing, or everything, was lost; with them its end lies near 3 / n, as it
    should (Hanley and Lippman-Hand 1983, *JAMA* 249).

    Args:
        risk: intervals between looks.
        edges: ends of the intervals of age within which the hazard is constant, from 0 to at least the last age [k + 1].
        generator: source of randomness.
        replicates: of the bootstrap.
    """
    labels, cluster = np.unique(risk.cluster, return_inverse=True)
    if len(labels) < 3 or not risk.total.sum():
        return None
    start, end = (np.append(ages, [edges[i], edges[i]]) for ages, i in ((risk.start, 0), (risk.end, -1)))
    time = np.clip(np.minimum(end[:, None], edges[1:]) - np.maximum(start[:, None], edges[:-1]), 0, None)
    units, losses = np.append(risk.total, [1, 1]), np.append(risk.events, [0, 1])
    cluster, count = np.append(cluster, [len(labels), len(labels) + 1]), len(labels) + 2
    whole = np.append(np.ones(len(labels)), [0, 0])
    draws = np.concatenate([whole[None], resample_counts(count, replicates, generator)])
    cells, at = np.unique(time, axis=0, return_inverse=True)
    shape = (len(cells), count)
    total, events = (sparse.coo_matrix((w, (at.ravel(), cluster)), shape).tocsr() @ draws.T for w in (units, losses))
    rates = _rates(cells, total, events, np.diff(edges))
    fell = np.concatenate([np.zeros((1, rates.shape[1])), np.cumsum(rates * np.diff(edges)[:, None], axis=0)])
    curve = np.exp(-fell)
    low, high = np.quantile(curve[:, 1:], [0.025, 0.975], axis=1)
    rate_low, rate_high = np.quantile(rates[:, 1:], [0.025, 0.975], axis=1)
    facts = int(risk.total.sum()), int(risk.events.sum()), len(labels)
    return Survival(edges, rates[:, 0], rate_low, rate_high, curve[:, 0], low, high, *facts)


def _rates(time: np.ndarray, total: np.ndarray, events: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Maximum likelihood rates [k, b] from time per cell [c, k], units at risk [c, b] and losses [c, b]; 0 where nothing was at risk."""
    exposed = time.T @ total
    start = np.maximum(events.sum(axis=0), 0.5) / np.maximum(exposed.sum(axis=0), 1e-300)
    rates = np.where(exposed > 0, start, 0.0)
    curve = np.exp(-np.cumsum(rates * widths[:, None], axis=0))
    for _ in range(_MOST_ITERATIONS):
        hazard = np.maximum(time @ rates, 1e-300)
        rates = rates * (time.T @ (events / -np.expm1(-hazard))) / np.maximum(exposed, 1e-300)
        before, curve = curve, np.exp(-np.cumsum(rates * widths[:, None], axis=0))
        if np.abs(curve - before).max() < _TOLERANCE:
            break
    return rates
