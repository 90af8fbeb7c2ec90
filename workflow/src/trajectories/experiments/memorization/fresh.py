"""Canaries at equal age, and what the period of training does to canaries that no model has met.

Measured at the first checkpoint after its last copy, each canary is measured at another time, and a model gives even a random sequence
that it has never met another probability then. Canaries that are never planted tell how much: their mean log-probability at the same
checkpoint is subtracted, so that what is left is what the copies have added. The period is thereby held fixed as far as it shifts the
log-probability of canaries met and not met alike.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from trajectories.experiments.memorization.regressions import LOGPROB
from trajectories.experiments.memorization.run import Run

LEAST_NEVER = 20
"""With fewer canaries that are never planted, nothing is subtracted."""


def fresh(run: Run) -> pd.DataFrame:
    """Every canary at the first checkpoint that has seen all its copies.

    Returns:
        ``item_id, n_seen`` (copies), ``place`` (their mean place, 0 the first and 1 the last row of the last checkpoint), ``step`` (of the
        checkpoint), ``age`` (steps from the last copy to the checkpoint as a share of the last checkpoint's steps) and the run's outcomes;
        canaries that are never planted or whose last copy no checkpoint has seen are absent.
    """
    mine = (run.items["kind"] == "canary").to_numpy()
    items = run.items.loc[mine, ["item_id"]].reset_index(drop=True)
    seen = run.exposures.groupby("item_id").agg(n_seen=("step", "size"), final=("step", "max"), row=("row", "mean"))
    table = items.join(seen, on="item_id")
    column = np.searchsorted(run.steps, table["final"].to_numpy(dtype=float), side="right")
    known = (column < len(run.steps)) & table["final"].notna().to_numpy()
    table = table[known].reset_index(drop=True)
    column = column[known]
    measured = {name: values[mine][known][np.arange(len(column)), column] for name, values in run.outcomes.items()}
    step = run.steps[column]
    return pd.DataFrame(
        {
            "item_id": table["item_id"],
            "n_seen": table["n_seen"].astype(int),
            "place": table["row"] / max(run.final * run.model.rows_per_step - 1, 1),
            "step": step,
            "age": (step - 1 - table["final"]) / max(run.final, 1),
            **measured,
        }
    )


def never_planted(run: Run) -> pd.DataFrame | None:
    """Log-probabilities of the canaries that are never planted: one line for each (index ``item_id``, sorted), one column per step.

    None with fewer than :data:`LEAST_NEVER` of them.
    """
    mine = (run.items["kind"] == "canary") & ~run.items["item_id"].isin(run.exposures["item_id"])
    if mine.sum() < LEAST_NEVER:
        return None
    names = pd.Index(run.items.loc[mine, "item_id"], name="item_id")
    return pd.DataFrame(run.outcomes[LOGPROB][mine.to_numpy()], index=names, columns=run.steps).sort_index()


def beside(sample: pd.DataFrame, never: pd.DataFrame) -> np.ndarray:
    """What each never-planted canary was given at the checkpoint of each canary of a sample [never planted, sample].

    Args:
        sample: as :func:`fresh` returns it.
        never: as :func:`never_planted` returns it.
    """
    return never[sample["step"].to_numpy()].to_numpy(dtype=float)
