"""Published lists of memorized rows, compared: a model's checkpoints with each other, and models with larger ones.

A list is complete, so that whatever it does not name is not memorized; two lists are compared by counting what they share, batch by batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.parts.forgetting import AGAIN, KEPT, MEMORIZED, curve
from trajectories.experiments.memorization.parts.prediction import TO_FINAL
from trajectories.findings import Findings
from trajectories.statistics.agreement import Estimate, f1, of_sums, phi, precision, recall
from trajectories.statistics.survival import AtRisk, lost, regained
from trajectories.suites import Model

SETTING = "k=32,l=32,offset=0"
ROWS = "rows"
_BLOCKS = 1000
"""Successive batches are joined to about so many clusters over a run; within one, all rows have the age of their mean."""


def forgetting(model: Model, lists: Mapping[int, np.ndarray], context: AnalysisContext, found: Findings) -> None:
    """Survival of a model's memorized rows by age over its checkpoints, and the shares retained and regained between them.

    Args:
        model: whose lists they are.
        lists: memorized rows, ascending, by step.
        context: settings and seed.
        found: gets trajectories ``retained`` and ``regained`` and rows of the table ``forgetting``.
    """
    found.add("forgetting")
    if len(lists) < 2:
        return
    steps = np.array(sorted(lists), dtype=np.int32)
    rows, state = states(model, lists)
    batch = rows // model.rows_per_step
    latest = np.where(steps > batch[:, None], batch[:, None] + 1, -1).astype(np.int32)
    blocks = batch // max(int(steps[-1]) // _BLOCKS, 1)
    for what, metric, find in ((KEPT, "retained", lost), (AGAIN, "regained", regained)):
        risk = joined(find(state, latest, steps, blocks))
        place: dict[str, Any] = {"model": model.name, "level": "kind", "group": ROWS, "setting": SETTING, "metric": metric}
        found.trajectories += [place | {"step": int(steps[j])} | r for j, r in between(risk, metric).items()]
        generator = context.generator(f"forgetting {model.name} {what}")
        facts = {"model": model.name, "step": int(steps[-1]), "group": ROWS, "state": MEMORIZED}
        found.add("forgetting", *(facts | r for r in curve(what, risk, generator, context.settings.forgetting)))


def states(model: Model, lists: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The rows that any checkpoint has memorized after seeing them, ascending [n], and whether each checkpoint has, bool [n, t]."""
    seen = {step: lists[step][: np.searchsorted(lists[step], step * model.rows_per_step)] for step in sorted(lists)}
    rows = np.unique(np.concatenate(list(seen.values())))
    state = np.zeros((len(rows), len(seen)), dtype=bool)
    for j, listed in enumerate(seen.values()):
        state[np.searchsorted(rows, listed), j] = True
    return rows, state


def joined(risk: AtRisk) -> AtRisk:
    """The same intervals, those of a cluster and a pair of looks added up; their ages are those of the mean unit."""
    looks = int(risk.look.max(initial=0)) + 1
    keys, at = np.unique(risk.cluster * looks + risk.look, return_inverse=True)
    total, events = (np.bincount(at, weights=w) for w in (risk.total, risk.events))
    start, end = (np.bincount(at, weights=ages) / total for ages in (risk.start, risk.end))
    return AtRisk(start, end, events, total, keys // looks, keys % looks)


def between(risk: AtRisk, metric: str) -> dict[int, dict[str, Any]]:
    """The share retained or regained from one look to the next, by number of the second look; clusters are independent."""
    found = {}
    for look in np.unique(risk.look):
        chosen = risk.look == look
        total, events = risk.total[chosen], risk.events[chosen]
        sums = np.stack([total - events if metric == "retained" else events, total], axis=1)
        found[int(look)] = of_sums(sums, lambda s: s[0] / s[1] if s[1] else np.nan, int(total.sum())).row()
    return found


def early_forecasts(model: Model, lists: Mapping[int, np.ndarray], found: Findings) -> None:
    """Each earlier checkpoint as a forecast of the last, over the rows that it had seen, as trajectories."""
    last = lists[max(lists)]
    for step in sorted(lists)[:-1]:
        n = step * model.rows_per_step
        place = {"model": model.name, "step": step, "level": TO_FINAL, "group": ROWS, "setting": SETTING}
        for metric, estimate in forecast(lists[step], last, n, model.rows_per_step).items():
            found.trajectories.append(place | {"metric": metric} | estimate.row())


def forecasts(models: Sequence[Model], finals: Mapping[str, tuple[int, np.ndarray]], found: Findings) -> None:
    """Each model's last list as a forecast of that of every larger model of its order (tables ``prediction`` and ``correlations``).

    Args:
        models: those that have lists.
        finals: by model the step of its last list, and the rows, ascending.
        found: gets the rows.
    """
    for table in ("prediction", "correlations"):
        found.add(table)
    ordered = sorted(models, key=lambda m: m.parameters_non_embedding)
    for i, a in enumerate(ordered):
        for b in ordered[i + 1 :]:
            if a.order != b.order or a.rows_per_step != b.rows_per_step:
                continue
            (first, predictor), (second, target) = finals[a.name], finals[b.name]
            estimates = forecast(predictor, target, min(first, second) * a.rows_per_step, a.rows_per_step)
            pair: dict[str, Any] = {"predictor": a.name, "target": b.name, "kind": ROWS}
            found.add("prediction", *(pair | {"metric": metric} | estimate.row() for metric, estimate in estimates.items()))
            facts: dict[str, Any] = {"among": "models", "kind": ROWS, "measure": MEMORIZED, "a": a.name, "b": b.name}
            found.add("correlations", facts | estimates["phi"].row())


def forecast(predictor: np.ndarray, target: np.ndarray, n: int, rows_per_step: int) -> dict[str, Estimate]:
    """How well one list of rows tells another, over the first ``n`` rows; batches are the clusters.

    Args:
        predictor, target: rows, ascending.
        n: rows that are judged.
        rows_per_step: rows of a batch.

    Returns:
        ``base_rate, precision, recall, f1, phi``.
    """
    a, b = predictor[: np.searchsorted(predictor, n)], target[: np.searchsorted(target, n)]
    at = np.searchsorted(b, a)
    both = a[(at < len(b)) & (b[np.minimum(at, len(b) - 1)] == a)] if len(b) else a[:0]
    batches = -(-n // rows_per_step)
    sums = np.stack([np.bincount(rows // rows_per_step, minlength=batches) for rows in (a, b, both)], axis=1).astype(float)
    found = {"base_rate": of_sums(sums, lambda total: total[1] / n, n)}
    found |= {name: of_sums(sums, statistic, n) for name, statistic in (("precision", precision), ("recall", recall), ("f1", f1))}
    return found | {"phi": of_sums(sums, phi(n), n, "fisher")}
