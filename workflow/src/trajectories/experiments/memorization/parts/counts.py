"""How many rows are memorized, by size of the model and by step, beside the counts that are published of Pythia."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.parts.description import LEAST_ROWS, share
from trajectories.experiments.memorization.parts.forgetting import groups
from trajectories.experiments.memorization.run import Run
from trajectories.findings import Findings
from trajectories.statistics.intervals import wilson

PUBLISHED = Path(__file__).resolve().parents[1] / "published_counts.csv"
HERE = "this suite"
SERIES = {"pile-standard": "Pythia, published counts", "pile-deduped": "Pythia deduped, published counts"}


@cache
def published() -> pd.DataFrame:
    """Published counts: ``order, model, parameters_non_embedding, step, rows, memorized, source``.

    ``rows`` is how many the checkpoint had seen. The counts are lines of the published lists, repeats included.
    """
    return pd.read_csv(PUBLISHED)


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """The share of the rows seen that each checkpoint has memorized, however often they were seen (table ``counts``)."""
    if run.model.parent is not None:
        return
    chosen = np.flatnonzero((run.items["kind"] == "row").to_numpy())
    items = run.items.iloc[chosen].reset_index(drop=True)
    labels, weights = groups(items, run.exposures), items["weight"].to_numpy(dtype=float)
    first = run.exposures.groupby("item_id")["step"].min().reindex(items["item_id"]).to_numpy(dtype=float)
    for column, step in enumerate(run.steps.tolist()):
        seen = first < step
        if seen.sum() >= LEAST_ROWS:
            estimate = share(run.outcomes["memorized"][chosen[seen], column], labels[seen], weights[seen])
            facts = (run.model.name, run.model.parameters_non_embedding, step, estimate["n"])
            found.add("counts", line(HERE, *facts, estimate, "measured"))


def line(series: str, model: str, parameters: int, step: int, rows: int, estimate: dict[str, Any], source: str) -> dict[str, Any]:
    """A row of the table ``counts``; ``share`` with its 95 % interval."""
    place = {"series": series, "model": model, "parameters_non_embedding": parameters, "step": step, "rows": rows}
    return place | {"share": estimate["value"], "ci_low": estimate["ci_low"], "ci_high": estimate["ci_high"], "source": source}


def compare(runs: Sequence[Run], context: AnalysisContext, found: Findings) -> None:
    """The published counts beside the suite's own, and the exponent of the share over parameters (table ``scaling``)."""
    beside(found)


def beside(found: Findings) -> None:
    """Add the published counts to the table ``counts``, then fit every series (:func:`exponent`)."""
    found.add("counts")
    for r in published().itertuples():
        low, high = wilson(np.array(r.memorized), np.array(r.rows))
        estimate = {"value": r.memorized / r.rows, "ci_low": float(low), "ci_high": float(high)}  # type: ignore[operator]
        own = line(SERIES[str(r.order)], str(r.model), int(r.parameters_non_embedding), int(r.step), int(r.rows), estimate, str(r.source))  # type: ignore[arg-type]
        found.add("counts", own)
    table = pd.DataFrame(found.extra["counts"])
    found.add("scaling")
    for series, rows in table.groupby("series", sort=False):
        final = rows[(rows["step"] == rows.groupby("model")["step"].transform("max")) & (rows["share"] > 0)]
        fitted = exponent(final["parameters_non_embedding"].to_numpy(dtype=float), final["share"].to_numpy(dtype=float))
        if fitted is not None:
            found.add("scaling", {"series": series} | fitted)
    found.note(
        "The published counts of Pythia are those of its data card, per list of memorized rows with repeats; the exponent is the slope of "
        "the logarithm of the share over the logarithm of non-embedding parameters, with Student's interval over models."
    )


def exponent(parameters: np.ndarray, shares: np.ndarray) -> dict[str, Any] | None:
    """Slope of log share over log parameters by least squares with Student's 95 % interval; None with fewer than 3 sizes."""
    if len(np.unique(parameters)) < 3:
        return None
    fit = stats.linregress(np.log(parameters), np.log(shares))
    reach = float(stats.t.ppf(0.975, len(shares) - 2)) * fit.stderr
    facts = {"slope": float(fit.slope), "ci_low": float(fit.slope - reach), "ci_high": float(fit.slope + reach), "n": len(shares)}
    return facts | {"intercept": float(fit.intercept), "method": "least squares of logarithms"}
