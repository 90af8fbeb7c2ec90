"""The order regression at one checkpoint, for both outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trajectories.experiments.memorization.panel import COVARIATES, Subset, clusters
from trajectories.statistics.claims import Result
from trajectories.statistics.intervals import t_interval
from trajectories.statistics.order_regression import Fit, design, firth_logistic, linear

MEMORIZED, LOGPROB = "memorized", "logprob"
LEAST_CLUSTERS = 20
"""With fewer independent clusters no regression is run."""


@dataclass(frozen=True)
class Regression:
    """A fitted regression with its sample.

    Attributes:
        outcome: ``memorized`` or ``logprob``.
        fit: its coefficients; those of ``logprob`` are in nats per token.
        unit: what the claim's estimate is divided by: the outcome's standard deviation over the sample's rows for ``logprob``, else 1.
        y, x, names, labels: outcome [n], columns [n, k] with their names, cluster of each row [n].
    """

    outcome: str
    fit: Fit
    unit: float
    y: np.ndarray
    x: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray

    def result(self, term: str = "position") -> Result:
        """A coefficient on the claim's scale."""
        return self.fit.result(term, self.unit)


def fit_outcome(outcome: str, y: np.ndarray, x: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> Regression:
    """Fit one outcome on given columns: Firth's logistic regression for ``memorized``, least squares for ``logprob``."""
    y = np.asarray(y, dtype=float)
    fitted = firth_logistic(y, x, labels, names) if outcome == MEMORIZED else linear(y, x, labels, names)
    spread = float(np.std(y, ddof=1)) if outcome == LOGPROB and len(y) > 1 else 1.0
    return Regression(outcome, fitted, spread or 1.0, y, x, names, labels)


def regress(
    panel: pd.DataFrame, exposures: pd.DataFrame, step: int, subset: Subset, window: float, power: int = 1
) -> dict[str, Regression] | None:
    """Both outcomes on the position of a subset's rows and the predictors of easy text.

    Args:
        panel: as :func:`trajectories.experiments.memorization.panel.panel` makes it, rows only.
        exposures: of the model's order.
        step: the checkpoint's step.
        subset: which rows, dated how.
        window: the recency window.
        power: 2 adds the square of the position.

    Returns:
        By outcome; None with fewer than :data:`LEAST_CLUSTERS` clusters.
    """
    chosen = panel[subset.keep(panel, window)]
    if len(chosen) < LEAST_CLUSTERS:
        return None
    labels = clusters(chosen, exposures, step)
    if labels.max() + 1 < LEAST_CLUSTERS:
        return None
    covariates = {name: chosen[name].to_numpy(dtype=float) for name in COVARIATES}
    if subset.copies:
        covariates["log2 exposures"] = np.log2(chosen["n_seen"].to_numpy(dtype=float))
    position = chosen["first" if subset.dated == "first_row" else "latest"].to_numpy(dtype=float)
    x, names = design(position, covariates, power)
    if subset.recency:
        late = (chosen["latest"] > 1 - window).to_numpy(dtype=float)
        if 0 < late.sum() < len(late):
            x, names = np.column_stack([x, late]), (*names, "recency window")
    return {o: fit_outcome(o, chosen[o].to_numpy(dtype=float), x, labels, names) for o in (MEMORIZED, LOGPROB)}


def terms(regression: Regression) -> Iterator[dict[str, float | str | int | None]]:
    """Every coefficient with its 95 % interval, in log odds or nats per token."""
    for name in regression.names:
        result = regression.fit.result(name)
        low, high = t_interval(result.estimate, result.stderr, result.df)
        yield {
            "outcome": regression.outcome,
            "term": name,
            "estimate": result.estimate,
            "stderr": result.stderr,
            "ci_low": low,
            "ci_high": high,
            "df": result.df,
            "n": result.n,
            "n_clusters": result.n_clusters,
            "n_events": result.n_events,
            "unit": regression.unit,
            "method": result.method,
        }
