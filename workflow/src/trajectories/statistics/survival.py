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
    """

    start: np.ndarray
    end: np.ndarray
    events: np.ndarray
    total: np.ndarray
    cluster: np.ndarray


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
    return AtRisk(looks[look] - since, looks[look + 1] - since, event[unit, look].astype(float), np.ones(len(unit)), clusters[unit])


def edges_of(risk: AtRisk, intervals: int) -> np.ndarray:
    """Ages that part the intervals at risk into about equally many events and units; from 0 to the last age [at most intervals + 1]."""
    inner = np.quantile(risk.end, np.arange(1, intervals) / intervals) if len(risk.end) else []
    return np.unique(np.concatenate([[0.0], np.round(inner), [float(risk.end.max()) if len(risk.end) else 1.0]]))


def survival(risk: AtRisk, edges: np.ndarray, generator: np.random.Generator, replicates: int = 199) -> Survival | None:
    """The survival curve with percentile intervals over resampled clusters; None with no interval at risk or fewer than 3 clusters.

    Args:
        risk: intervals between looks.
        edges: ends of the intervals of age within which the hazard is constant, from 0 to at least the last age [k + 1].
        generator: source of randomness.
        replicates: of the bootstrap.
    """
    labels, cluster = np.unique(risk.cluster, return_inverse=True)
    if len(labels) < 3 or not risk.total.sum():
        return None
    time = np.clip(np.minimum(risk.end[:, None], edges[1:]) - np.maximum(risk.start[:, None], edges[:-1]), 0, None)
    draws = np.concatenate([np.ones((1, len(labels))), resample_counts(len(labels), replicates, generator)])
    cells, at = np.unique(time, axis=0, return_inverse=True)
    at = at.ravel()
    # per cell and replicate: units at risk, and losses
    shape = (len(cells), len(labels))
    total, events = (sparse.coo_matrix((w, (at, cluster)), shape).tocsr() @ draws.T for w in (risk.total, risk.events))
    rates = _rates(cells, total, events, np.diff(edges))
    fell = np.concatenate([np.zeros((1, rates.shape[1])), np.cumsum(rates * np.diff(edges)[:, None], axis=0)])
    curve = np.exp(-fell)
    low, high = np.nanquantile(curve[:, 1:], [0.025, 0.975], axis=1) if replicates else (curve[:, 0], curve[:, 0])
    rate_low, rate_high = np.nanquantile(rates[:, 1:], [0.025, 0.975], axis=1) if replicates else (rates[:, 0], rates[:, 0])
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
