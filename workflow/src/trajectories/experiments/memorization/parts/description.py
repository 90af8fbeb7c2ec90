"""Shares and means of groups of rows over training and by place in the order, with intervals that respect clusters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.findings import Findings
from trajectories.experiments.memorization.panel import clusters
from trajectories.experiments.memorization.run import Run
from trajectories.statistics.intervals import t_interval, wilson
from trajectories.statistics.order_regression import linear

LEAST_ROWS = 20
"""Groups of fewer rows are not described."""


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """Shares and means by exposure at every checkpoint, and by place in the order at the last one (table ``positions``)."""
    settings = context.settings
    for step in run.steps.tolist():
        place = {"model": run.model.name, "step": step, "setting": str(run.window)}
        rows = by_exposure(run.panel(step), run.exposures, step, settings.recency_window)
        found.trajectories += [place | r for r in rows]
    if run.primary:
        parts = by_position(run.panel(run.final), run.exposures, run.final, settings.bins, settings.recency_window)
        found.add("positions", *({"model": run.model.name, "step": run.final} | part for part in parts))


def share(events: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """A share with Wilson's interval on the effective sample size, ``n`` divided by the clusters' design effect (at least 1).

    The effective size is that of Korn and Graubard (1998, *Survey Methodology* 24). Without events, or with fewer than 3 clusters, the
    design effect cannot be estimated and is taken as the mean size of a cluster.

    Args:
        events: bool [n].
        labels: cluster of each unit [n].

    Returns:
        ``value, stderr, ci_low, ci_high, n, method`` of a trajectory.
    """
    values = np.asarray(events, dtype=float)
    n, p = len(values), float(values.mean())
    fit = linear(values, np.ones((n, 1)), labels, ("intercept",))
    estimable = fit.problem is None and 0 < p < 1
    effect = max(float(fit.covariance[0, 0]) / (p * (1 - p) / n), 1.0) if estimable else n / len(np.unique(labels))
    low, high = wilson(np.array(p * n / effect), np.array(n / effect))
    stderr = float(np.sqrt(p * (1 - p) * effect / n))
    facts = {"value": p, "stderr": stderr, "ci_low": float(low), "ci_high": float(high), "n": n}
    return facts | {"method": f"Wilson, design effect {effect:.2f}"}


def mean(values: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """A mean with the cluster jackknife's interval: ``value, stderr, ci_low, ci_high, n, method`` of a trajectory."""
    values = np.asarray(values, dtype=float)
    fit = linear(values, np.ones((len(values), 1)), labels, ("intercept",))
    result = fit.result("intercept")
    if fit.problem is not None:
        unknown = dict.fromkeys(("stderr", "ci_low", "ci_high"), np.nan)
        return {"value": float(values.mean()), **unknown, "n": len(values), "method": "mean; too few clusters for an interval"}
    low, high = t_interval(result.estimate, result.stderr, result.df)
    method = "mean, cluster jackknife (CV3)"
    return {"value": result.estimate, "stderr": result.stderr, "ci_low": low, "ci_high": high, "n": len(values), "method": method}


def by_exposure(panel: pd.DataFrame, exposures: pd.DataFrame, step: int, window: float) -> Iterator[dict[str, Any]]:
    """Extractable share and mean log-probability (nats per token) of rows seen and not yet seen, as trajectories."""
    once, latest = panel["n_seen"] == 1, panel["latest"] > 1 - window
    groups = {
        "not yet seen": panel["n_seen"] == 0,
        "seen once": once & ~latest,
        "just seen once": once & latest,
        "seen more than once": panel["n_seen"] > 1,
    }
    for name, mask in groups.items():
        chosen = panel[mask]
        if len(chosen) >= LEAST_ROWS:
            labels = clusters(chosen, exposures, None if name == "not yet seen" else step)
            place = {"level": "exposure", "group": name}
            yield place | {"metric": "extractable"} | share(chosen["memorized"].to_numpy(), labels)
            yield place | {"metric": "logprob"} | mean(chosen["logprob"].to_numpy(), labels)


def by_position(panel: pd.DataFrame, exposures: pd.DataFrame, step: int, bins: int, window: float) -> Iterator[dict[str, Any]]:
    """The same for rows seen once, in equal parts of the order seen so far; ``x`` is a part's middle, 0 the first row and 1 the last."""
    once = panel[panel["n_seen"] == 1]
    part = np.minimum((once["latest"].to_numpy() * bins).astype(int), bins - 1)
    for i in range(bins):
        chosen = once[part == i]
        if len(chosen):
            labels = clusters(chosen, exposures, step)
            place = {"x": (i + 0.5) / bins, "part": "recency window" if (i + 0.5) / bins > 1 - window else "before"}
            yield place | {"metric": "extractable"} | share(chosen["memorized"].to_numpy(), labels)
            yield place | {"metric": "logprob"} | mean(chosen["logprob"].to_numpy(), labels)
