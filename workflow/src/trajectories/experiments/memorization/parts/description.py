"""Shares and means of groups of rows over training and by place in the order, with intervals that respect clusters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.panel import clusters
from trajectories.experiments.memorization.run import Run
from trajectories.findings import Findings
from trajectories.statistics.intervals import t_interval, wilson
from trajectories.statistics.order_regression import Fit, linear

LEAST_ROWS = 20
"""Groups of fewer rows are not described."""

LARGEST = 0.1
"""Where a single component of batches and copies holds more than this share of the rows, copy groups alone are the clusters."""


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """Shares and means by exposure at every checkpoint, and by place in the order at the last one (table ``positions``)."""
    settings = context.settings
    for step in run.steps.tolist():
        place = {"model": run.model.name, "step": step, "setting": str(run.window)}
        rows = by_exposure(run.panel(step), run.exposures, step, settings.recency_window)
        found.trajectories += [place | r for r in rows]
        found.trajectories += [place | r for r in never_seen(run.panel(step, "never"), run.exposures)]
    if run.primary:
        parts = by_position(run.panel(run.final), run.exposures, run.final, settings.bins, settings.recency_window)
        found.add("positions", *({"model": run.model.name, "step": run.final} | part for part in parts))


def share(events: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, how: str = "") -> dict[str, Any]:
    """A (weighted) share with Wilson's interval on the effective sample size, ``n`` divided by the design effect (at least 1).

    The effective size is that of Korn and Graubard (1998, *Survey Methodology* 24); clusters and unequal weights both enter it. Without
    events, or with fewer than 3 clusters, the design effect cannot be estimated and is taken as the mean size of a cluster times Kish's
    effect of the weights, n·Σw²/(Σw)² (Kish 1965, *Survey Sampling*, section 11.7).

    Args:
        events: bool [n].
        labels: cluster of each unit [n].
        weights: inverse of each unit's probability of being drawn [n]; their scale does not matter. All alike if absent.
        how: what the clusters are, for ``method``.

    Returns:
        ``value, stderr, ci_low, ci_high, n, method`` of a trajectory.
    """
    values, weight = np.asarray(events, dtype=float), _scaled(weights, len(events))
    n, p = len(values), float(np.average(values, weights=weight))
    fit = _weighted_mean(values, labels, weight)
    if fit.problem is None and 0 < p < 1:
        effect = max(float(fit.covariance[0, 0]) / (p * (1 - p) / n), 1.0)
    else:
        effect = n / len(np.unique(labels)) * float(np.mean(weight**2))
    low, high = wilson(np.array(p * n / effect), np.array(n / effect))
    stderr = float(np.sqrt(p * (1 - p) * effect / n))
    facts = {"value": p, "stderr": stderr, "ci_low": float(low), "ci_high": float(high), "n": n}
    return facts | {"method": _named(f"Wilson, design effect {effect:.2f}", weight, how)}


def mean(values: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, how: str = "") -> dict[str, Any]:
    """A (weighted) mean with the cluster jackknife's interval; arguments and result as for :func:`share`."""
    values, weight = np.asarray(values, dtype=float), _scaled(weights, len(values))
    fit = _weighted_mean(values, labels, weight)
    result = fit.result("intercept")
    if fit.problem is not None:
        unknown = dict.fromkeys(("stderr", "ci_low", "ci_high"), np.nan)
        average = float(np.average(values, weights=weight))
        return {"value": average, **unknown, "n": len(values), "method": "mean; too few clusters for an interval"}
    low, high = t_interval(result.estimate, result.stderr, result.df)
    method = _named("mean, cluster jackknife (CV3)", weight, how)
    return {"value": result.estimate, "stderr": result.stderr, "ci_low": low, "ci_high": high, "n": len(values), "method": method}


def _scaled(weights: np.ndarray | None, n: int) -> np.ndarray:
    """Weights with mean 1."""
    return np.ones(n) if weights is None else np.asarray(weights, dtype=float) / np.mean(weights)


def _named(method: str, weight: np.ndarray, how: str) -> str:
    return "; ".join(filter(None, [method, "weighted" if np.ptp(weight) > 1e-12 else "", how]))


def _weighted_mean(values: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> Fit:
    return linear(values, np.ones((len(values), 1)), labels, ("intercept",), weight)


def outcomes(chosen: pd.DataFrame, labels: np.ndarray, how: str = "") -> Iterator[dict[str, Any]]:
    """Extractable share, mean share matched, mean score and mean log-probability (nats per token) of some rows, weighted.

    Args:
        chosen: rows of a panel [n].
        labels, how: as :func:`independent` gives them.
    """
    weights = chosen["weight"].to_numpy()
    yield {"metric": "extractable"} | share(chosen["memorized"].to_numpy(), labels, weights, how)
    for metric in ("matched", "score", "logprob"):
        if metric in chosen:
            yield {"metric": metric} | mean(chosen[metric].to_numpy(), labels, weights, how)


def independent(chosen: pd.DataFrame, exposures: pd.DataFrame, step: int | None) -> tuple[np.ndarray, str]:
    """Clusters of rows to be described, and what they are.

    Components of batch and copy group, as everywhere; but rows with many copies chain most batches into one component, which says nothing
    any more. Then rows with the same scored tokens are a cluster, since what they share decides nearly all, and what rows of a batch share
    is little for rows that stand in many batches.

    Args:
        chosen, exposures, step: as for :func:`trajectories.experiments.memorization.panel.clusters`.

    Returns:
        Cluster of each row [n], and a name for the method; empty for the usual clusters.
    """
    labels = clusters(chosen, exposures, step)
    if len(labels) and np.bincount(labels).max() <= max(LARGEST * len(labels), 2):
        return labels, ""
    return pd.factorize(chosen["copy_group"])[0], "copy groups as clusters"


def by_exposure(panel: pd.DataFrame, exposures: pd.DataFrame, step: int, window: float) -> Iterator[dict[str, Any]]:
    """The outcomes of rows seen and not yet seen, as trajectories."""
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
            labels = independent(chosen, exposures, None if name == "not yet seen" else step)
            yield from ({"level": "exposure", "group": name} | r for r in outcomes(chosen, *labels))


def never_seen(panel: pd.DataFrame, exposures: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The same for rows that no model is trained on; rows with the same scored tokens are one cluster."""
    if len(panel) >= LEAST_ROWS:
        labels = independent(panel, exposures, None)
        yield from ({"level": "exposure", "group": "never seen"} | r for r in outcomes(panel, *labels))


def by_position(panel: pd.DataFrame, exposures: pd.DataFrame, step: int, bins: int, window: float) -> Iterator[dict[str, Any]]:
    """The same for rows seen once, in equal parts of the order seen so far; ``x`` is a part's middle, 0 the first row and 1 the last."""
    once = panel[panel["n_seen"] == 1]
    part = np.minimum((once["latest"].to_numpy() * bins).astype(int), bins - 1)
    for i in range(bins):
        chosen = once[part == i]
        if len(chosen):
            (labels, how), weights = independent(chosen, exposures, step), chosen["weight"].to_numpy()
            place = {"x": (i + 0.5) / bins, "part": "recency window" if (i + 0.5) / bins > 1 - window else "before"}
            yield place | {"metric": "extractable"} | share(chosen["memorized"].to_numpy(), labels, weights, how)
            yield place | {"metric": "logprob"} | mean(chosen["logprob"].to_numpy(), labels, weights, how)
