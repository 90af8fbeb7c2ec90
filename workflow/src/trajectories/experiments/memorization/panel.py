"""What a checkpoint has seen of each item, from the exposures of its model's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trajectories.statistics.order_regression import components

COVARIATES = ("zlib_bits", "distinct", "repeating", "counting")
"""Predictors of easy text, which enter every regression over rows."""


@dataclass(frozen=True)
class Subset:
    """Which rows enter a regression, and by which exposure a row's position is dated.

    Attributes:
        name: as the claims' ``group`` and the regressions' ``subset`` show it.
        description: for the report.
        keep: (panel, recency window) → bool [n].
        dated: ``latest_row`` or ``first_row``; the same for rows seen once.
        copies: whether the number of exposures is a covariate.
        recency: whether being in the recency window is a covariate.
        content: whether the log-probability before any of these rows was seen (column ``before``) is a covariate.
    """

    name: str
    description: str
    keep: Callable[[pd.DataFrame, float], pd.Series]
    dated: str = "latest_row"
    copies: bool = False
    recency: bool = False
    content: bool = False


def _settled(panel: pd.DataFrame, window: float) -> pd.Series:
    return panel["latest"] <= 1 - window


PRIMARY = Subset(
    "seen once, before the recency window",
    "rows whose scored tokens were seen exactly once, before the recency window",
    lambda panel, window: (panel["n_seen"] == 1) & _settled(panel, window),
)
SUBSETS = (
    PRIMARY,
    Subset("seen once", "rows seen exactly once, recency window included", lambda panel, _: panel["n_seen"] == 1),
    Subset(
        "seen once, twice the window apart",
        "rows seen exactly once, before a recency window of twice the width",
        lambda panel, window: (panel["n_seen"] == 1) & _settled(panel, 2 * window),
    ),
    Subset(
        "seen once or twice, by the latest",
        "rows seen at most twice, the latest before the recency window and dated by it; the number is a covariate",
        lambda panel, window: panel["n_seen"].between(1, 2) & _settled(panel, window),
        copies=True,
    ),
    Subset(
        "with copies, by the latest",
        "rows seen any number of times, the latest before the recency window and dated by it; the number is a covariate",
        lambda panel, window: (panel["n_seen"] >= 1) & _settled(panel, window),
        copies=True,
    ),
    Subset(
        "with copies, by the first",
        "rows seen any number of times, the latest before the recency window, dated by the first; the number is a covariate",
        lambda panel, window: (panel["n_seen"] >= 1) & _settled(panel, window),
        dated="first_row",
        copies=True,
    ),
)
CONTENT = Subset(
    "content held fixed",
    "rows seen exactly once, after an early checkpoint and before the recency window; their log-probability at that checkpoint, before any "
    "of them was seen, is a covariate",
    lambda panel, window: (panel["n_seen"] == 1) & _settled(panel, window) & panel["before"].notna(),
    content=True,
)
RECENCY = Subset(
    "recency window against the trend",
    "rows seen exactly once; those of the recency window against the linear trend over the others",
    lambda panel, _: panel["n_seen"] == 1,
    recency=True,
)


def panel(items: pd.DataFrame, exposures: pd.DataFrame, outcomes: pd.DataFrame, step: int, rows_per_step: int) -> pd.DataFrame:
    """One line per item, with what a checkpoint had seen of it.

    Args:
        items: stimuli: ``item_id``, ``copy_group`` and others, which are kept [n].
        exposures: ``item_id, row, step`` in the model's order.
        outcomes: what was measured of these items at the checkpoint, in the same sequence [n].
        step: the checkpoint's step; it has seen the exposures at lower steps.
        rows_per_step: rows per training step of the model.

    Returns:
        The items' columns, those of ``outcomes``, and: ``n_seen`` (exposures so far), ``n_all`` (exposures of the whole order),
        ``first_row``, ``latest_row`` (rows of the first and latest exposure so far), ``first``, ``latest`` (the same, scaled to 0 for the
        first and 1 for the last row seen by the checkpoint); NaN where the item is not yet seen.
    """
    seen = exposures[exposures["step"] < step].groupby("item_id")["row"].agg(["size", "min", "max"])
    found = pd.concat([items, outcomes.set_axis(items.index)], axis=1)
    found["n_seen"] = found["item_id"].map(seen["size"]).fillna(0).astype(int)
    found["n_all"] = found["item_id"].map(exposures.groupby("item_id").size()).fillna(0).astype(int)
    last = max(step * rows_per_step - 1, 1)
    for name, column in (("first", "min"), ("latest", "max")):
        found[f"{name}_row"] = found["item_id"].map(seen[column]).astype(float)
        found[name] = found[f"{name}_row"] / last
    return found.reset_index(drop=True)


def clusters(chosen: pd.DataFrame, exposures: pd.DataFrame, step: int | None) -> np.ndarray:
    """Clusters of the chosen rows of a panel: connected components of batch and copy group.

    Args:
        chosen: rows of :func:`panel`.
        exposures: ``item_id, step`` in the model's order; every batch that has shown an item so far joins it.
        step: the checkpoint's step; None counts also the batches to come, for rows that are not yet seen.
    """
    if step is not None:
        exposures = exposures[exposures["step"] < step]
    number = pd.Index(chosen["item_id"]).get_indexer(exposures["item_id"])
    known = number >= 0
    batches = (number[known], exposures["step"].to_numpy()[known])
    return components(len(chosen), batches, (np.arange(len(chosen)), chosen["copy_group"].to_numpy()))
