"""Forgetting: for how long do memorized rows stay memorized after they were last seen?

A row's age at a checkpoint is the number of steps since it was last exposed. A memorized row is forgotten between two checkpoints if it is
memorized at the first, is not exposed again in between, and is not memorized at the second; when in between is not known. An exposure
restarts the age. A forgotten row may be memorized again without any exposure (relearning), which is counted apart. Where few rows are
memorized whole, those of which at least half of the tokens are reproduced at their places tell the same in a graded way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.panel import clusters
from trajectories.experiments.memorization.parts.description import LEAST_ROWS, share
from trajectories.experiments.memorization.run import Run
from trajectories.findings import Findings
from trajectories.statistics.survival import AtRisk, edges_of, lost, regained, survival

KINDS = {"row": "rows", "canary": "canaries"}
MEMORIZED, HALF = "memorized", "half of the tokens"
KEPT, AGAIN = "still memorized", "not memorized again"
LEAST_PER_INTERVAL = 10
"""Losses to an interval of age, on average; with fewer losses there are fewer intervals."""
METHOD = "piecewise constant hazard, interval-censored, delayed entry; percentile bootstrap over clusters"


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """Shares retained and regained from one checkpoint to the next, and the survival of memorized rows by age (table ``forgetting``)."""
    settings = context.settings.forgetting
    for kind, name in KINDS.items():
        for state, held in states(run).items():
            chosen = np.flatnonzero((run.items["kind"] == kind).to_numpy() & held.any(axis=1))
            items = run.items.iloc[chosen].reset_index(drop=True)
            labels, latest = groups(items, run.exposures), last_exposed(items, run.exposures, run.steps)
            if state == MEMORIZED:
                weights = items["weight"].to_numpy(dtype=float)
                place = {"model": run.model.name, "level": "kind", "group": name, "setting": str(run.window)}
                found.trajectories += [place | r for r in between(held[chosen], latest, run.steps, labels, weights)]
            facts = {"model": run.model.name, "step": run.final, "group": name, "state": state}
            generator = context.generator(f"forgetting {run.model.name} {kind} {state}")
            found.add("forgetting", *(facts | r for r in curves(held[chosen], latest, run.steps, labels, generator, settings)))


def states(run: Run) -> dict[str, np.ndarray]:
    """What may be forgotten: whole spans, and where free-running decoding was scored the greater part of them; bool [n, t] each."""
    found = {MEMORIZED: run.outcomes["memorized"].astype(bool)}
    return found | ({HALF: run.outcomes["score"] >= 0.5} if "score" in run.outcomes else {})


def compare(runs: Sequence[Run], context: AnalysisContext, found: Findings) -> None:
    """What a reader should know of these curves."""
    found.add("forgetting")
    found.note(
        "Age counts the steps since a row was last shown. Rows that are shown again leave the count there and enter anew with age 0; "
        "forgetting is dated only to between two checkpoints, and the hazard is taken as constant within intervals of age. Rows enter when "
        "a checkpoint first finds them memorized, so what was learnt and lost between two checkpoints is not seen."
    )
    found.note(
        "For forgetting and prediction, rows of one batch and copies of one text are a cluster; where that joins more than a tenth of the "
        "rows, as many copies do, copies of one text alone are, and rows that only share a batch are taken as independent."
    )


def groups(items: pd.DataFrame, exposures: pd.DataFrame) -> np.ndarray:
    """Clusters of items over a whole run: a canary is one; rows of a copy group, and of a batch, belong together.

    Where copies join more than a tenth of the rows to one component, copy groups alone are the clusters: then a batch is a chain's weakest
    link, and one cluster would leave nothing to tell the spread by.

    Args:
        items: ``item_id, kind, copy_group`` [n], all of one kind.
        exposures: ``item_id, step`` in the model's order.

    Returns:
        int array [n], numbered from 0.
    """
    if items.empty or (items["kind"] == "canary").all():
        return np.arange(len(items))
    joined = clusters(items, exposures, None)
    return joined if np.bincount(joined).max() <= 0.1 * len(items) else pd.factorize(items["copy_group"])[0]


def last_exposed(items: pd.DataFrame, exposures: pd.DataFrame, steps: np.ndarray) -> np.ndarray:
    """The number of steps after which each checkpoint last met each item: its latest exposure's step plus one; −1 if not met yet [n, t]."""
    place = pd.Series(np.arange(len(items)), index=items["item_id"])
    own = exposures[exposures["item_id"].isin(place.index)]
    column = np.searchsorted(steps, own["step"].to_numpy(), side="right")  # the first checkpoint that has seen it
    seen = column < len(steps)
    latest = np.full((len(items), len(steps)), -1, dtype=np.int64)
    np.maximum.at(latest, (place.loc[own["item_id"]].to_numpy()[seen], column[seen]), own["step"].to_numpy()[seen] + 1)
    return np.maximum.accumulate(latest, axis=1)


def between(
    state: np.ndarray, latest: np.ndarray, steps: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> Iterator[dict[str, Any]]:
    """Trajectories ``retained`` and ``regained``: of the rows that were memorized (or had been and were forgotten) at the checkpoint before
    and were not exposed since, the share that is memorized. Groups of fewer than 20 rows are not described.
    """
    had = np.zeros(len(state), dtype=bool)
    for j in range(1, len(steps)):
        same = (latest[:, j] == latest[:, j - 1]) & (latest[:, j - 1] >= 0)
        had = (had | state[:, j - 1]) & same
        for metric, risk in (("retained", state[:, j - 1] & same), ("regained", had & ~state[:, j - 1])):
            if risk.sum() >= LEAST_ROWS:
                chosen = None if weights is None else weights[risk]
                yield {"step": int(steps[j]), "metric": metric} | share(state[risk, j], labels[risk], chosen)


def curves(
    state: np.ndarray, latest: np.ndarray, steps: np.ndarray, labels: np.ndarray, generator: np.random.Generator, settings: Any
) -> Iterator[dict[str, Any]]:
    """Survival curves as rows: ``what, age, value, ci_low, ci_high, rate, rate_low, rate_high, n, n_events, n_clusters, method``.

    ``value`` is the share that has not changed its state up to ``age``; ``rate`` is the hazard per 1,000 steps in the interval that ends
    there. A curve from fewer than 20 units at risk is not given.
    """
    for what, risk in ((KEPT, lost(state, latest, steps, labels)), (AGAIN, regained(state, latest, steps, labels))):
        yield from curve(what, risk, generator, settings)


def curve(what: str, risk: AtRisk, generator: np.random.Generator, settings: Any) -> Iterator[dict[str, Any]]:
    """One of :func:`curves`."""
    if risk.total.sum() < LEAST_ROWS:
        return
    intervals = max(min(settings.intervals, int(risk.events.sum()) // LEAST_PER_INTERVAL), 1)
    fitted = survival(risk, edges_of(risk, intervals), generator, settings.replicates)
    if fitted is None:
        return
    facts = {"what": what, "n": fitted.n, "n_events": fitted.n_events, "n_clusters": fitted.n_clusters, "method": METHOD}
    rates = 1000 * np.vstack([[np.nan] * 3, np.stack([fitted.rate, fitted.rate_low, fitted.rate_high], axis=1)])
    for i, age in enumerate(fitted.edges):
        hazard = dict(zip(("rate", "rate_low", "rate_high"), rates[i].tolist(), strict=True))
        yield facts | {"age": float(age), "value": fitted.value[i], "ci_low": fitted.low[i], "ci_high": fitted.high[i]} | hazard
