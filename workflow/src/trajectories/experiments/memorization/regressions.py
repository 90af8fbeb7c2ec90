"""The order regression at one checkpoint, for every outcome.

The estimand is the *total* effect of the place in the order at a fixed checkpoint: how an outcome differs between the last and the first
row seen. At one checkpoint the place is minus the age, and under a schedule it fixes the learning rate too; the regression does not tell
these apart. Three outcomes are regressed:

- ``memorized``: whether the whole span is recited. Firth's logistic regression, since events may be rare; a log odds ratio.
- ``logprob``: the span's log-probability. Least squares; in standard deviations over the sample's rows. They are marginal, the covariates
  not held fixed, also where these explain much (as the log-probability before does), so that samples are compared in the same unit.
- ``score``: the share of tokens that free-running decoding gives at their places. Least squares as well, in standard deviations: the
  coefficient is the difference of mean shares between the two ends whatever the shares' distribution, the cluster jackknife allows for
  unequal variances, and its margin is that of the log-probability. A logit of a share would put most weight on shares near 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trajectories.experiments.memorization.panel import COVARIATES, Subset, clusters
from trajectories.statistics.claims import Result
from trajectories.statistics.intervals import t_interval
from trajectories.statistics.order_regression import Fit, design, firth_logistic, linear

MEMORIZED, LOGPROB, SCORE = "memorized", "logprob", "score"
REGRESSED = (MEMORIZED, LOGPROB, SCORE)
LEAST_CLUSTERS = 20
"""With fewer independent clusters no regression is run."""


@dataclass(frozen=True)
class Regression:
    """A fitted regression with its sample.

    Attributes:
        outcome: one of :data:`REGRESSED`.
        fit: its coefficients; those of ``logprob`` are in nats per token, those of ``score`` in shares.
        unit: what the claim's estimate is divided by: the outcome's standard deviation over the sample's rows, or 1 for ``memorized``.
        y, x, names, labels: outcome [n], columns [n, k] with their names, cluster of each row [n].
        weights: proportional to the inverse of each row's probability of being sampled [n], or None.
        copies: copy group of each row [n], or None where no two rows share their text.
    """

    outcome: str
    fit: Fit
    unit: float
    y: np.ndarray
    x: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray
    weights: np.ndarray | None = None
    copies: np.ndarray | None = None

    def result(self, term: str = "position") -> Result:
        """A coefficient on the claim's scale."""
        return self.fit.result(term, self.unit)


def fit_outcome(
    outcome: str,
    y: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    weights: np.ndarray | None = None,
    copies: np.ndarray | None = None,
) -> Regression:
    """Fit one outcome on given columns: Firth's logistic regression for ``memorized``, least squares for the others.

    The arguments are the attributes of :class:`Regression`.
    """
    y = np.asarray(y, dtype=float)
    fitted = (firth_logistic if outcome == MEMORIZED else linear)(y, x, labels, names, weights)
    unit = 1.0 if outcome == MEMORIZED else spread(y, weights)
    return Regression(outcome, fitted, unit, y, x, names, labels, weights, copies)


def spread(y: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The (weighted) standard deviation of an outcome over rows; 1 where it does not vary."""
    if len(y) < 2:
        return 1.0
    variance = float(np.cov(y, aweights=weights))
    return variance**0.5 if variance > 0 else 1.0


def regress(
    panel: pd.DataFrame, exposures: pd.DataFrame, step: int, subset: Subset, window: float, knots: int = 2
) -> dict[str, Regression] | None:
    """Every outcome on the position of a subset's rows and the predictors of easy text.

    Args:
        panel: as :func:`trajectories.experiments.memorization.panel.panel` makes it, rows only; outcomes that it lacks are left out. A
            column ``weight`` weights the rows.
        exposures: of the model's order.
        step: the checkpoint's step.
        subset: which rows, dated how.
        window: the recency window.
        knots: more than 2 let the trend bend.

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
    if subset.content:
        covariates["log-probability before"] = chosen["before"].to_numpy(dtype=float)
    position = chosen["first" if subset.dated == "first_row" else "latest"].to_numpy(dtype=float)
    x, names = design(position, covariates, knots)
    if subset.recency:
        late = (chosen["latest"] > 1 - window).to_numpy(dtype=float)
        if 0 < late.sum() < len(late):
            x, names = np.column_stack([x, late]), (*names, "recency window")
    weights = chosen["weight"].to_numpy(dtype=float) if "weight" in chosen and chosen["weight"].nunique() > 1 else None
    copies = chosen["copy_group"].to_numpy() if chosen["copy_group"].duplicated().any() else None
    measured = [o for o in REGRESSED if o in chosen]
    return {o: fit_outcome(o, chosen[o].to_numpy(dtype=float), x, labels, names, weights, copies) for o in measured}


def terms(regression: Regression) -> Iterator[dict[str, float | str | int | None]]:
    """Every coefficient with its 95 % interval, in log odds, nats per token or shares."""
    return coefficients(regression.fit, regression.outcome, regression.unit)


def coefficients(fit: Fit, outcome: str, unit: float = 1.0) -> Iterator[dict[str, float | str | int | None]]:
    """The lines of the table ``regressions`` for a fit; ``unit`` is what the claims divide by."""
    for name in fit.names:
        result = fit.result(name)
        low, high = t_interval(result.estimate, result.stderr, result.df)
        yield {
            "outcome": outcome,
            "term": name,
            "estimate": result.estimate,
            "stderr": result.stderr,
            "ci_low": low,
            "ci_high": high,
            "df": result.df,
            "n": result.n,
            "n_clusters": result.n_clusters,
            "n_events": result.n_events,
            "unit": unit,
            "method": result.method,
        }
