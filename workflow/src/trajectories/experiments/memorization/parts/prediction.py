"""Prediction: does an early checkpoint, or a smaller model, tell which rows the final, or the larger, model memorizes?

After Biderman et al. 2023 (*Emergent and Predictable Memorization*, section 4): the rows that the predictor has memorized are its forecast.
Precision is the share of the forecast that comes true, recall the share of the memorized rows that were forecast. Where few rows are
memorized, the log-probability that the predictor gives tells in finer steps: the area under its ROC curve, and its rank correlation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.parts.description import LEAST_ROWS, share
from trajectories.experiments.memorization.parts.forgetting import KINDS, groups
from trajectories.experiments.memorization.run import Run
from trajectories.findings import Findings
from trajectories.statistics.agreement import Estimate, auc, f1, of_sums, pearson, phi, spearman

LEAST_EVENTS = 5
"""With fewer memorized rows nothing is said of their prediction."""
TO_FINAL = "predicts the last checkpoint"


@dataclass(frozen=True)
class Side:
    """One of the two that are compared, on the same units.

    Attributes:
        memorized: labels, bool [n].
        logprob: nats per token [n].
    """

    memorized: np.ndarray
    logprob: np.ndarray


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """Every checkpoint as a forecast of the last one, over the rows that it has seen; correlations between checkpoints."""
    for kind, name in KINDS.items():
        chosen = np.flatnonzero((run.items["kind"] == kind).to_numpy())
        items = run.items.iloc[chosen].reset_index(drop=True)
        if len(items) < LEAST_ROWS:
            continue
        labels, weights = groups(items, run.exposures), items["weight"].to_numpy(dtype=float)
        first = run.exposures.groupby("item_id")["step"].min().reindex(items["item_id"]).to_numpy(dtype=float)
        sides = [Side(run.outcomes["memorized"][chosen, j].astype(bool), run.outcomes["logprob"][chosen, j]) for j in range(len(run.steps))]
        for step, side in zip(run.steps[:-1].tolist(), sides[:-1], strict=True):
            seen = first < step
            place = {"model": run.model.name, "step": step, "level": TO_FINAL, "group": name, "setting": str(run.window)}
            for metric, estimate in forecast(side, sides[-1], labels, weights, seen):
                found.trajectories.append(place | {"metric": metric} | estimate)
        places = spread(len(run.steps), context.settings.prediction.checkpoints)
        about = {"among": run.model.name, "kind": name}
        labelled = [(f"{run.steps[j]}", sides[j]) for j in places]
        found.add("correlations", *(about | r for r in correlations(labelled)))


def compare(runs: Sequence[Run], context: AnalysisContext, found: Findings) -> None:
    """Every model as a forecast of each that is no smaller (table ``prediction``); correlations between models, with intervals."""
    for table in ("correlations", "prediction"):
        found.add(table)
    for kind, name in KINDS.items():
        clustered = {run.model.name: clustered_items(run, kind) for run in runs}
        for a, b in pairs(runs):
            pair = {"predictor": a.model.name, "target": b.model.name, "kind": name}
            for table, row in compared(a, b, clustered[a.model.name], clustered[b.model.name]):
                facts = pair if table == "prediction" else {"among": "models", "kind": name, "a": a.model.name, "b": b.model.name}
                found.add(table, facts | row)
    found.note(
        "A forecast of memorization is judged on the rows that the predictor had seen; the base rate is the share of them that the other "
        "one memorizes, which a blind forecast would have as its precision. Area and rank correlation weigh every sampled row alike."
    )


def clustered_items(run: Run, kind: str) -> pd.DataFrame:
    """The items of a kind: ``item_id, weight, label`` (cluster), ``seen`` (by the last checkpoint), ``memorized, logprob`` (there)."""
    chosen = np.flatnonzero((run.items["kind"] == kind).to_numpy())
    items = run.items.iloc[chosen].reset_index(drop=True)
    met = run.exposures.loc[run.exposures["step"] < run.final, "item_id"].unique()
    found = items[["item_id", "weight"]].assign(label=groups(items, run.exposures), seen=items["item_id"].isin(met))
    return found.assign(memorized=run.outcomes["memorized"][chosen, -1].astype(bool), logprob=run.outcomes["logprob"][chosen, -1])


def compared(a: Run, b: Run, here: pd.DataFrame, there: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    """One model's last checkpoint as a forecast of another's, on the items that both were measured on, as ``(table, row)``."""
    both = here.merge(there[["item_id", "seen", "memorized", "logprob"]], on="item_id", suffixes=("", "_b"))
    if len(both) < LEAST_ROWS:
        return
    labels = np.unique(both["label"].to_numpy(), return_inverse=True)[1]
    first, second = (Side(both[f"memorized{end}"].to_numpy(), both[f"logprob{end}"].to_numpy()) for end in ("", "_b"))
    seen = (both["seen"] & both["seen_b"]).to_numpy()
    for metric, estimate in forecast(first, second, labels, both["weight"].to_numpy(dtype=float), seen):
        yield "prediction", {"metric": metric} | estimate
    for measure, correlation in (
        ("memorized", pearson(first.memorized, second.memorized, labels)),
        ("log-probability", spearman(first.logprob, second.logprob, labels)),
    ):
        if np.isfinite(correlation.value):
            yield "correlations", {"measure": measure} | correlation.row()


def pairs(runs: Sequence[Run]) -> Iterator[tuple[Run, Run]]:
    """Each pair of models once, the smaller first; models of one size in the suite's sequence."""
    ordered = sorted(runs, key=lambda r: r.model.parameters_non_embedding)
    for i, a in enumerate(ordered):
        for b in ordered[i + 1 :]:
            yield a, b


def spread(n: int, most: int) -> list[int]:
    """At most ``most`` of ``n`` places, evenly spread, the last one among them."""
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, most))})


def forecast(
    predictor: Side, target: Side, labels: np.ndarray, weights: np.ndarray, seen: np.ndarray
) -> Iterator[tuple[str, dict[str, Any]]]:
    """How well a predictor tells what the target memorizes, as ``(metric, value with interval)``.

    ``base_rate, precision, recall, f1, phi`` are of labels; ``auc`` is that of the predictor's log-probability for the target's label, and
    ``rank_correlation`` that of both log-probabilities. Nothing is said with fewer than 20 rows or 5 memorized ones.

    Args:
        predictor, target: on the same units [n].
        labels: clusters [n].
        weights: of the units [n], inverse to their chance of being sampled.
        seen: which units are judged, bool [n].
    """
    p, t = predictor.memorized[seen], target.memorized[seen]
    if len(t) < LEAST_ROWS or t.sum() < LEAST_EVENTS:
        return
    labels, weights = np.unique(labels[seen], return_inverse=True)[1], weights[seen]
    yield "base_rate", share(t, labels, weights)
    if p.sum() >= LEAST_EVENTS:
        yield "precision", share(t[p], labels[p], weights[p])
    yield "recall", share(p[t], labels[t], weights[t])
    sums = np.stack([np.bincount(labels, weights * w) for w in (p, t, p & t)], axis=1)
    estimates: list[tuple[str, Estimate]] = [
        ("f1", of_sums(sums, f1, len(t))),
        ("phi", of_sums(sums, phi(float(weights.sum())), len(t), "fisher")),
        ("auc", auc(predictor.logprob[seen], t, labels)),
        ("rank_correlation", spearman(predictor.logprob[seen], target.logprob[seen], labels)),
    ]
    yield from ((name, estimate.row()) for name, estimate in estimates if np.isfinite(estimate.value))


def correlations(sides: Sequence[tuple[str, Side]]) -> Iterator[dict[str, Any]]:
    """Correlations of all pairs, without intervals: phi of the labels and Spearman's of the log-probabilities."""
    for measure in ("memorized", "log-probability"):
        if measure == "memorized":
            columns = np.stack([s.memorized.astype(float) for _, s in sides])
        else:
            columns = np.stack([np.argsort(np.argsort(s.logprob, kind="stable")).astype(float) for _, s in sides])
        with np.errstate(invalid="ignore", divide="ignore"):
            matrix = np.corrcoef(columns)
        for i, (a, _) in enumerate(sides):
            for j, (b, _) in enumerate(sides):
                if i < j and np.isfinite(matrix[i, j]):
                    yield {"measure": measure, "a": a, "b": b, "value": float(matrix[i, j]), "n": columns.shape[1]}
