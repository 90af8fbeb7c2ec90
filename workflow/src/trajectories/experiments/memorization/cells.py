"""Rows by checkpoints as a panel, and regressions of it on when a row was seen and how long ago that is.

What these can and cannot tell apart is said in :mod:`trajectories.experiments.memorization.parts.exposure`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from trajectories.experiments.memorization.panel import COVARIATES, clusters
from trajectories.experiments.memorization.regressions import MEMORIZED, spread
from trajectories.experiments.memorization.run import Run
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.experiments.memorization.simulations import clusters_of, slope_in_sd
from trajectories.findings import Simulation
from trajectories.statistics.claims import ALPHA, MIN_EVENTS, Claim, Result, p_values
from trajectories.statistics.intervals import t_interval
from trajectories.statistics.linearity import wald
from trajectories.statistics.order_regression import Fit
from trajectories.statistics.panel_regression import panel_regression

WITHIN, BETWEEN = "within rows", "between rows"
LATER, FADING = "late-exposures-stronger", "traces-fade"
"""The claims whose linear parts are estimated."""
LEAST_CELLS = 60
"""Exposure steps, ages or both that fewer cells (rows at checkpoints) have reached get no effect of their own."""
_STEP, _AGE = "exposure step", "age"


@dataclass(frozen=True)
class Cells:
    """Rows by checkpoints.

    Attributes:
        outcome: [n, t].
        exposed: exposure step as a share of training, the same at every checkpoint; NaN for rows never seen [n].
        age: share of training since the exposure; NaN before it [n, t].
        facts: predictors of easy text [n, p].
        labels: cluster of each row [n].
        weights: [n], the mean over seen and over never-seen rows being 1, or None.
    """

    outcome: np.ndarray
    exposed: np.ndarray
    age: np.ndarray
    facts: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None

    def rows(self, which: np.ndarray, labels: np.ndarray) -> Cells:
        """Some of the rows, in other clusters."""
        weights = None if self.weights is None else self.weights[which]
        return Cells(self.outcome[which], self.exposed[which], self.age[which], self.facts[which], labels, weights)

    @property
    def unit(self) -> float:
        """Standard deviation of the outcome at the last checkpoint over the rows that it has seen."""
        seen = np.isfinite(self.age[:, -1])
        return spread(self.outcome[seen, -1], None if self.weights is None else self.weights[seen])


@dataclass(frozen=True)
class Additivity:
    """Whether exposure step and age add up, and a claim's slope at both ends of the one that it is not about.

    Attributes:
        claim: one about the slope of exposure step or age.
        p: of the product of the two; NaN where it cannot be tested.
        other: the one of the two that is held fixed.
        at: its mean over the cells of its lowest and highest bin, in shares of training.
        slopes: at these two, in standard deviations.
    """

    claim: Claim
    p: float
    other: str
    at: tuple[float, float]
    slopes: tuple[float, float]

    @property
    def problem(self) -> str | None:
        """Why the straight part alone allows no verdict, as a clause: the two do not add up and the ends disagree about the margin."""
        low, high = (self.claim.margin * (-1 if self.claim.sided == "less" else 1) - slope for slope in self.slopes)
        if self.p < ALPHA and low * high < 0:
            return "exposure step and age do not add up, and the slopes at both ends lie on different sides of the margin"
        return None

    def sentence(self) -> str:
        """What the test found, for a claim's reason."""
        if np.isnan(self.p):
            return "Whether exposure step and age add up cannot be tested."
        ends = " and ".join(f"{slope:+.2f} at {self.other} {at:.2g}" for slope, at in zip(self.slopes, self.at, strict=True))
        return f"The product of exposure step and age has p = {self.p:.2g}; the slope is {ends}."


def even_steps(steps: np.ndarray, most: int) -> np.ndarray:
    """At most so many trained checkpoints, as evenly over training as they come; the last one is among them."""
    targets = np.linspace(0, steps[-1], most + 1)[1:]
    nearest = np.abs(steps[None, :] - targets[:, None]).argmin(axis=1)
    chosen = np.unique(steps[nearest])
    return chosen[chosen > 0]


def cells_of(run: Run, steps: np.ndarray, outcome: str) -> Cells | None:
    """The panel of one outcome; None where it was not measured, is too rare, or no row is seen or unseen."""
    if outcome not in run.outcomes or len(steps) < 3:
        return None
    exposures = run.exposures
    times = exposures.groupby("item_id")["row"].agg(["size", "max"]).reindex(run.items["item_id"])
    count = times["size"].fillna(0).to_numpy()
    kind = run.items["kind"].to_numpy()
    chosen = ((kind == "row") & (count == 1)) | ((kind == "never") & (count == 0))
    last = max(run.final * run.model.rows_per_step - 1, 1)
    exposed = times["max"].to_numpy(dtype=float)[chosen] / last
    taken = steps * run.model.rows_per_step - 1
    age = taken[None, :] / last - exposed[:, None]
    age = np.where(age >= 0, age, np.nan)
    values = run.outcomes[outcome][np.ix_(chosen, np.searchsorted(run.steps, steps))].astype(float)
    events = int(values[np.isfinite(age[:, -1]), -1].sum())
    few = outcome == MEMORIZED and min(events, len(values) - events) < MIN_EVENTS
    if few or not np.isfinite(age).any() or not np.isnan(age).any():
        return None
    items = run.items[chosen].reset_index(drop=True)
    facts = items[list(COVARIATES)].to_numpy(dtype=float)
    spreads = facts.std(axis=0)
    facts = ((facts - facts.mean(axis=0)) / np.where(spreads > 0, spreads, 1))[:, spreads > 0]
    weights = None
    if "weight" in items and items["weight"].nunique() > 1:
        weights = (items["weight"] / items.groupby("kind")["weight"].transform("mean")).to_numpy(dtype=float)
    return Cells(values, exposed, age, facts, clusters(items, exposures, None), weights)


def effects(cells: Cells, comparison: str, settings: AnalyseSettings) -> Iterator[dict[str, Any]]:
    """What an exposure does, in standard deviations (shares for ``memorized``), against a row not seen.

    Yields:
        ``by`` (``exposure step``, ``age`` or ``both``), the ends of the exposure step and of the age (shares of training), estimate with
        its standard error and 95 % interval, and how many rows and cells it rests on. Effects by one are averaged over the other, with the
        weights that the panel's cells have.
    """
    steps, ages = _bins(settings)
    unit = 1.0 if set(np.unique(cells.outcome)) <= {0.0, 1.0} else cells.unit
    inside: list[tuple[str, float, float]] = []
    masks: list[np.ndarray] = []
    rest: list[np.ndarray] = []
    for by, bins in ((_STEP, steps), (_AGE, ages)):
        found = [(edges, mask) for edges in bins if _told(mask := _inside(cells, by, *edges), comparison)]
        inside += [(by, *edges) for edges, _ in found]
        masks += [mask for _, mask in found]
        rest.append(np.isfinite(cells.age) & ~np.any([mask for _, mask in found], axis=0) if found else np.isfinite(cells.age))
    # every seen cell has one exposure step and one age, so one age stands for none; the commonest does
    reference = max((i for i in range(len(inside)) if inside[i][0] == _AGE), key=lambda i: int(masks[i].sum()), default=None)
    free = [i for i in range(len(inside)) if i != reference]
    few = [mask for mask in rest if _told(mask, comparison, 1)]
    names = [str(i) for i in free] + [f"rest {i}" for i in range(len(few))]
    fit = _fit(cells, [*(masks[i] for i in free), *few], names, comparison)
    if fit.problem is None:
        for i, (by, low, high) in enumerate(inside):
            others = np.array([masks[j].sum() if inside[j][0] != by else 0 for j in range(len(inside))])
            contrast = others / others.sum()
            contrast[i] = 1.0
            place = {_STEP: (0.0, 1.0), _AGE: (0.0, 1.0)} | {by: (low, high)}
            yield _effect(by, place, fit, {str(j): float(contrast[j]) for j in free}, unit, masks[i])
    both = [(s, a) for s in steps for a in ages]
    crossed = [_inside(cells, _STEP, *s) & _inside(cells, _AGE, *a) for s, a in both]
    kept = [i for i, mask in enumerate(crossed) if _told(mask, comparison)]
    whole = _fit(cells, [crossed[i] for i in kept], [str(i) for i in kept], comparison)
    if whole.problem is None:
        for i in kept:
            yield _effect("both", {_STEP: both[i][0], _AGE: both[i][1]}, whole, {str(i): 1.0}, unit, crossed[i])


def linear_part(cells: Cells, claim: str, settings: AnalyseSettings, comparison: str = WITHIN) -> Fit:
    """The panel regression whose first coefficient a claim is about: linear in exposure step with the age in bins, or the reverse."""
    by, other, masks = _parts(cells, claim, settings, comparison)
    return _fit(cells, [_column(cells, by), *masks], [by, *(f"{other} {i}" for i in range(len(masks)))], comparison)


def additivity(cells: Cells, claim: Claim, settings: AnalyseSettings, comparison: str = WITHIN) -> Additivity:
    """The regression of :func:`linear_part` with the product of exposure step and age: does the slope change along the other of the two?"""
    by, other, masks = _parts(cells, claim.id, settings, comparison)
    columns = [_column(cells, _STEP) * _column(cells, _AGE), _column(cells, by), *masks]
    fit = _fit(cells, columns, ["product", by, *(f"{other} {i}" for i in range(len(masks)))], comparison)
    if fit.problem is not None or len(masks) < 2:
        return Additivity(claim, np.nan, other, (np.nan, np.nan), (np.nan, np.nan))
    place = _column(cells, other)
    low, high = (float(place[masks[i]].mean()) for i in (0, -1))
    at = [float(fit.coefficients[1] + fit.coefficients[0] * end) / cells.unit for end in (low, high)]
    return Additivity(claim, wald(fit, ["product"])[3], other, (low, high), (at[0], at[1]))


def judged(cells: Cells, claim: Claim, settings: AnalyseSettings, comparison: str = WITHIN) -> tuple[Result, Additivity]:
    """A claim's linear part in standard deviations, with a problem where it says too little about either end, and the test of that."""
    told = additivity(cells, claim, settings, comparison)
    return _straight(cells, claim, settings, comparison, told.problem), told


def _straight(cells: Cells, claim: Claim, settings: AnalyseSettings, comparison: str, problem: str | None) -> Result:
    fit = linear_part(cells, claim.id, settings, comparison)
    if fit.problem is not None:
        return Result(np.nan, problem=fit.problem)
    result = fit.result(fit.names[0], cells.unit)
    return replace(result, problem=result.problem or problem)


def _parts(cells: Cells, claim: str, settings: AnalyseSettings, comparison: str) -> tuple[str, str, list[np.ndarray]]:
    """What a claim's slope is about, what is held fixed, and the latter's bins [n, t]."""
    steps, ages = _bins(settings)
    by, other, bins = (_STEP, _AGE, ages) if claim == LATER else (_AGE, _STEP, steps)
    return by, other, [mask for edges in bins if _told(mask := _inside(cells, other, *edges), comparison)]


def simulation(cells: Cells, claim: Claim, settings: AnalyseSettings) -> Simulation:
    """The simulated analysis of a linear part: whole clusters of rows are drawn, keep their real outcomes, and get a part of known size."""
    fit = linear_part(cells, claim.id, settings)
    column = _column(cells, fit.names[0])
    flat = cells.outcome - fit.coefficients[0] * column
    last = np.isfinite(cells.age[:, -1])
    draw = clusters_of(cells.labels)
    weights = None if cells.weights is None else cells.weights[last]

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        rows, labels = draw(generator)
        slope = slope_in_sd(flat[last, -1], column[last, -1], truth, weights)
        drawn = replace(cells, outcome=flat + slope * column).rows(rows, labels)
        result = _straight(drawn, claim, settings, WITHIN, None)
        if min(p_values(claim, result)) >= ALPHA:  # there is no verdict that could be withdrawn
            return result
        return replace(result, problem=result.problem or additivity(drawn, claim, settings).problem)

    return simulate


def _bins(settings: AnalyseSettings) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Ends of the exposure steps' bins, evenly over training, and of the ages', each half as old as the next."""
    edges = np.linspace(0, 1, settings.order.exposure_bins + 1)
    ages = [0.0, *(0.5 ** np.arange(settings.order.age_bins - 1, -1, -1))]
    return list(pairwise(edges.tolist())), list(pairwise(ages))


def _column(cells: Cells, by: str) -> np.ndarray:
    """Exposure step or age where a row is seen, else 0 [n, t]."""
    return np.where(np.isfinite(cells.age), cells.exposed[:, None] if by == _STEP else cells.age, 0.0)


def _inside(cells: Cells, by: str, low: float, high: float) -> np.ndarray:
    """Whether a row is seen and its exposure step or age lies in [low, high), the last bin's end included [n, t]."""
    value = np.broadcast_to(cells.exposed[:, None], cells.age.shape) if by == _STEP else cells.age
    with np.errstate(invalid="ignore"):
        return np.isfinite(cells.age) & (value >= low) & ((value < high) | (high == 1.0))


def _told(mask: np.ndarray, comparison: str, least: int = LEAST_CELLS) -> bool:
    """Whether cells are enough for an effect of their own; within rows, one that holds at all checkpoints is a part of the row's level."""
    changing = ~mask.all(axis=1) if comparison == WITHIN else np.ones(len(mask), bool)
    return int(mask[changing].sum()) >= least


def _fit(cells: Cells, columns: list[np.ndarray], names: list[str], comparison: str) -> Fit:
    """The panel regression; seen cells outside all bins get an effect of their own, so that they do not pass for unseen ones."""
    rest = np.isfinite(cells.age) & ~np.any([c for c in columns if c.dtype == bool], axis=0)
    if _told(rest, comparison, 1):
        columns, names = [*columns, rest], [*names, "rest"]
    facts = cells.facts if comparison == BETWEEN else np.empty((len(cells.outcome), 0))
    stacked = np.stack(columns).astype(float)
    return panel_regression(cells.outcome, stacked, facts, cells.labels, names, unit_effects=comparison == WITHIN, weights=cells.weights)


def _effect(
    by: str, edges: dict[str, tuple[float, float]], fit: Fit, weights: dict[str, float], unit: float, mask: np.ndarray
) -> dict[str, Any]:
    result = fit.combined(weights, unit)
    low, high = t_interval(result.estimate, result.stderr, result.df)
    (step_low, step_high), (age_low, age_high) = edges[_STEP], edges[_AGE]
    return {
        "by": by,
        "step_low": step_low,
        "step_high": step_high,
        "age_low": age_low,
        "age_high": age_high,
        "estimate": result.estimate,
        "stderr": result.stderr,
        "ci_low": low,
        "ci_high": high,
        "n": int(mask.any(axis=1).sum()),
        "cells": int(mask.sum()),
        "n_clusters": fit.n_clusters,
        "unit": unit,
        "method": fit.method,
    }
