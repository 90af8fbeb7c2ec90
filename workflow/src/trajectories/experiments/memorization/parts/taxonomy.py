"""Recite, reconstruct, recollect: three ways to come by a memorized row (Prashanth et al. 2024, section 3).

A row that stands in the order more often than a threshold is *recited*. Of the others, one that repeats or counts on can be
*reconstructed* from its beginning. What is left is *recollected*: neither frequent nor easy, and memorized all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.parts.description import LEAST_ROWS, independent, share
from trajectories.experiments.memorization.run import Run
from trajectories.experiments.memorization.settings import CATEGORIES
from trajectories.findings import Findings


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """How much of each category is extractable, and how the memorized rows divide into them, over training."""
    copies = context.settings.taxonomy.copies
    for step in run.steps.tolist():
        place = {"model": run.model.name, "step": step, "setting": str(run.window)}
        found.trajectories += [place | r for r in by_category(run.panel(step), run.exposures, step, copies)]
    if run.primary:
        found.note(
            f"Memorized rows are recited if the order holds their scored tokens more than {copies} times, else reconstructed if the row "
            "repeats or counts on, else recollected (after Prashanth et al. 2024)."
        )
        if not run.items.loc[run.items["kind"] == "row", "copies_known"].all():
            found.note("Where an order was not searched for copies, recited rows cannot be told and count as reconstructed or recollected.")


def categories(panel: pd.DataFrame, copies: int) -> np.ndarray:
    """The category of each row of a panel, memorized or not, as text [n].

    Args:
        panel: rows with ``n_all`` (exposures in the whole order), ``repeating`` and ``counting``.
        copies: a row with more exposures is recited.
    """
    easy = (panel["repeating"] | panel["counting"]).to_numpy(dtype=bool)
    return np.where(panel["n_all"].to_numpy() > copies, CATEGORIES[0], np.where(easy, CATEGORIES[1], CATEGORIES[2]))


def by_category(panel: pd.DataFrame, exposures: pd.DataFrame, step: int, copies: int) -> Iterator[dict[str, Any]]:
    """Trajectories of level ``taxonomy``, over the rows seen so far: ``extractable`` is the share of a category's rows that is memorized,
    ``composition`` the share of the memorized rows that a category has.

    Categories, or memorized rows, of which there are fewer than :data:`~trajectories.experiments.memorization.parts.description.LEAST_ROWS`
    are not described.
    """
    seen = panel[panel["n_seen"] > 0]
    category, memorized = categories(seen, copies), seen["memorized"].to_numpy(dtype=bool)
    for name in CATEGORIES:
        place = {"level": "taxonomy", "group": name}
        yield from (place | r for r in _described("extractable", memorized, seen, category == name, exposures, step))
        yield from (place | r for r in _described("composition", category == name, seen, memorized, exposures, step))


def _described(
    metric: str, events: np.ndarray, panel: pd.DataFrame, among: np.ndarray, exposures: pd.DataFrame, step: int
) -> Iterator[dict[str, Any]]:
    chosen = panel[among]
    if len(chosen) >= LEAST_ROWS:
        labels, how = independent(chosen, exposures, step)
        yield {"metric": metric} | share(events[among], labels, chosen["weight"].to_numpy(), how)
