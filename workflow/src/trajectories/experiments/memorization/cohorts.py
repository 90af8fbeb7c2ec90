"""Rows as cohorts that meet the training data at different times: the panel row × checkpoint of staggered difference-in-differences."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from trajectories.experiments.memorization.panel import clusters
from trajectories.experiments.memorization.run import Run
from trajectories.experiments.memorization.settings import ProfileSettings
from trajectories.statistics.claims import Result
from trajectories.statistics.staggered import NEVER, Cohorts, Control, Panel, cohorts, shares, slope_weights

NO_CONTROLS = "there are too few cohorts, or too few control rows beside them"
LEAST_SPAN = 0.5
"""Cohorts whose mean places lie closer together than this, as a share of the rows seen, have no slope from the first to the last row."""


@dataclass(frozen=True)
class Design:
    """Rows of one model by the checkpoint that first has seen them, and their controls.

    Attributes:
        panel: outcome in nats per token (or as named), cohorts, clusters, controls.
        steps: steps of the checkpoints [t].
        rows_per_step: of the model.
        row: place in the training order of each row's (first) exposure [n]; NaN for rows that are not seen by the last checkpoint.
        least_controls: effects with fewer control rows are left undefined.
        left_out: rows that were seen before the first checkpoint, so that nothing is known of the time before.
        until: number of a checkpoint; later ones are not looked at. None: all.
    """

    panel: Panel
    steps: np.ndarray
    rows_per_step: int
    row: np.ndarray
    least_controls: int
    left_out: int = 0
    until: int | None = None

    @cached_property
    def usable(self) -> np.ndarray:
        """Which effects are defined and have enough controls, bool [h, t]."""
        return ~np.isnan(self.panel.event) & (self.panel.n_controls >= self.least_controls)

    @cached_property
    def horizon(self) -> int | None:
        """The last checkpoint at which effects after exposure are known, as its number; None if there is none."""
        known = (self.usable & (self.panel.event >= 0))[:, : None if self.until is None else self.until + 1].any(axis=0)
        return int(np.flatnonzero(known)[-1]) if known.any() else None

    @cached_property
    def position(self) -> np.ndarray:
        """Mean place of each cohort's rows [h]: 0 the first row and 1 the last that the checkpoint at the horizon has seen."""
        last = max(int(self.steps[self.horizon or 0]) * self.rows_per_step - 1, 1)
        return self._mean_row / last

    @cached_property
    def lag(self) -> np.ndarray:
        """Mean steps from exposure to each checkpoint, by cohort [h, t]; 1 is the checkpoint right after; negative before exposure."""
        return self.steps[None] - self._mean_row[:, None] / self.rows_per_step

    @cached_property
    def unit(self) -> float:
        """Standard deviation of the outcome over the rows that the checkpoint at the horizon has seen."""
        seen = self.panel.cohorts.member != NEVER
        first = self.panel.cohorts.first[self.panel.cohorts.member[seen]]
        chosen = np.flatnonzero(seen)[first <= (self.horizon or 0)]
        if len(chosen) < 2:
            return math.nan
        weights = None if self.panel.weights is None else self.panel.weights[chosen]
        return math.sqrt(float(np.cov(self.panel.y[chosen, self.horizon], aweights=weights)))

    @cached_property
    def _mean_row(self) -> np.ndarray:
        member, count = self.panel.cohorts.member, len(self.panel.cohorts.base)
        seen = member != NEVER
        weights = np.ones(len(member)) if self.panel.weights is None else self.panel.weights
        total = np.bincount(member[seen], weights[seen], minlength=count)
        with np.errstate(invalid="ignore"):
            return np.bincount(member[seen], weights[seen] * self.row[seen], minlength=count) / total

    def chosen(self, what: str) -> np.ndarray:
        """Which effects are meant, bool [h, t].

        Args:
            what: ``instantaneous`` (the first checkpoint after exposure), ``persistent`` (later ones), ``residual`` (that at the horizon),
                ``after`` (all from the first on) or ``before`` (all before the base period).
        """
        event = np.where(self.usable, self.panel.event, np.nan)
        at = np.arange(len(self.steps))[None] == self.horizon
        return {
            "instantaneous": event == 0,
            "persistent": event >= 1,
            "residual": (event >= 0) & at,
            "after": event >= 0,
            "before": event <= -2,
        }[what]

    def settled(self, window: float) -> np.ndarray:
        """Cohorts known at the horizon whose mean place lies before the recency window, bool [h]."""
        return self.chosen("residual").any(axis=1) & self.chosen("instantaneous").any(axis=1) & (self.position <= 1 - window)

    def slope(self, what: str, window: float, *, simple: bool = False, given_lag: bool = False) -> Result:
        """How an effect changes from the first to the last row seen by the horizon, in standard deviations over rows.

        Args:
            what: ``instantaneous``, ``residual``, ``kept`` (residual less instantaneous) or ``before`` (a cohort's mean effect over all
                checkpoints before its base period, which no exposure has caused).
            window: the recency window, whose cohorts are set apart.
            simple: of differences of means instead.
            given_lag: with the steps from exposure to the first checkpoint after it as a covariate.
        """
        settled = self.settled(window) if self.horizon is not None else np.zeros(len(self.position), dtype=bool)
        early = self.chosen("before") if what == "before" else np.ones(self.panel.event.shape, dtype=bool)
        settled &= early.any(axis=1)
        covariates = [self.lag[np.arange(len(settled)), self.panel.cohorts.first]] if given_lag else []
        weights = slope_weights(self.position, np.where(settled, self.panel.sizes[:-1], 0.0), covariates)
        if weights is None or self.horizon is None:
            return Result(math.nan, problem=NO_CONTROLS)
        if (span := self._span(settled)) is not None:
            return Result(math.nan, problem=span)
        cells = np.zeros(self.panel.event.shape)
        if what in ("residual", "kept"):
            cells[:, self.horizon] += weights
        if what in ("instantaneous", "kept"):
            cells[np.arange(len(weights)), self.panel.cohorts.first] += weights * (1 if what == "instantaneous" else -1)
        if what == "before":
            cells = early * (weights / np.maximum(early.sum(axis=1), 1))[:, None]
        return self.panel.contrast(cells, self.unit, simple=simple)

    def _span(self, chosen: np.ndarray) -> str | None:
        """Why the cohorts lie too close together for a slope over the whole order, or None."""
        low, high = float(self.position[chosen].min()), float(self.position[chosen].max())
        if high - low >= LEAST_SPAN:
            return None
        return f"the cohorts lie between {low:.0%} and {high:.0%} of the rows seen, and a slope over all of these would be extrapolated"

    def before(self) -> Result:
        """Mean effect before exposure over all cohorts and checkpoints, in standard deviations over rows.

        It is 0 if rows to be seen move as their controls do, and also if some cohorts move up and others down; see :meth:`slope`.
        """
        if self.horizon is None or not self.chosen("before").any():
            return Result(math.nan, problem=NO_CONTROLS)
        return self.panel.contrast(shares(self.chosen("before"), self.panel.sizes[:-1]), self.unit)

    def of(self, y: np.ndarray) -> Design:
        """The same rows with another outcome [n, t]."""
        return replace(self, panel=replace(self.panel, y=y))

    def resampled(self, rows: np.ndarray, labels: np.ndarray, y: np.ndarray) -> Design:
        """A sample of the rows, with labels of their clusters and outcomes of their own; cohorts stay as they are."""
        own, weights = self.panel.cohorts, self.panel.weights
        taken = Cohorts(own.base, own.first, own.member[rows])
        panel = Panel(y, taken, labels, self.panel.control, None if weights is None else weights[rows])
        return Design(panel, self.steps, self.rows_per_step, self.row[rows], self.least_controls)


def designs(run: Run, settings: ProfileSettings, control: Control, copies: str | None = None) -> tuple[Design, np.ndarray] | None:
    """The rows of a model's primary window as cohorts.

    Args:
        run: a model.
        settings: sizes, and what is done with copies.
        control: ``never`` (rows that no model is trained on) or ``not-yet`` (rows of the order that are not yet seen, those alone).
        copies: ``excluded`` or ``first``, instead of what the settings say.

    Returns:
        The design with the log-probability as outcome, and the number of each of its rows in ``run.items``; None without rows. Clusters
        are the connected components of copy group and batch of (first) exposure.
    """
    items = run.items.reset_index(drop=True)
    shown = run.exposures.groupby("item_id").agg(times=("row", "size"), first_row=("row", "min"), first_step=("step", "min"))
    items = items.join(shown, on="item_id")
    times = items["times"].fillna(0)
    once = times == 1 if (copies or settings.copies) == "excluded" else times >= 1
    usual = (items["kind"] == "row") & once
    treated = np.searchsorted(run.steps, items["first_step"].fillna(math.inf), side="right")
    ahead = treated >= len(run.steps)
    early = usual & (treated == 0)
    kept = usual & ~early & (~ahead if control == "never" else True)
    if control == "never":
        kept |= (items["kind"] == "never") & (times == 0)
    index = np.flatnonzero(kept)
    if not (usual & kept & ~ahead).any():
        return None
    rows: pd.DataFrame = items.iloc[index]
    dated = cohorts(treated[index], len(run.steps), settings.least_rows)
    first = run.exposures.sort_values("row", kind="stable").drop_duplicates("item_id")  # later ones would chain most batches together
    labels = clusters(rows, first, None)
    weights = rows["weight"].to_numpy(dtype=float)
    panel = Panel(run.outcomes["logprob"][index], dated, labels, control, weights if np.ptp(weights) > 0 else None)
    row = np.where(dated.member == NEVER, np.nan, rows["first_row"].to_numpy(dtype=float))
    return Design(panel, run.steps, run.model.rows_per_step, row, settings.least_controls, int(early.sum())), index
