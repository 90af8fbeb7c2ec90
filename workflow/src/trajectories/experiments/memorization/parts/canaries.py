"""Canaries: random sequences planted a known number of times at places drawn at random."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import confint_proportions_2indep

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.findings import Findings
from trajectories.experiments.memorization.hypotheses import claims as declared
from trajectories.experiments.memorization.parts.description import mean, share
from trajectories.experiments.memorization.regressions import LOGPROB, MEMORIZED, Regression, fit_outcome, terms
from trajectories.experiments.memorization.run import Run
from trajectories.statistics.claims import Result, row
from trajectories.statistics.intervals import wilson
from trajectories.statistics.order_regression import design

LEAST_AHEAD = 20
"""So many canaries must lie ahead of a checkpoint before those not yet seen are judged."""


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """Canaries by their copies at every checkpoint; the effect of their places, and what was planted, at the last one."""
    ahead = None
    for step in run.steps.tolist():
        panel = run.panel(step, "canary")
        place = {"model": run.model.name, "step": step, "setting": str(run.window)}
        found.trajectories += [place | r for r in by_copies(panel)]
        if (panel["n_seen"] == 0).sum() >= LEAST_AHEAD:
            ahead = (panel, step)
    panel = run.panel(run.final, "canary")
    if panel.empty:
        return
    planted = regress(panel, run.exposures, run.final, run.model.rows_per_step)
    claims = declared(context.settings)
    for regression in (planted or {}).values():
        place = {"model": run.model.name, "step": run.final, "subset": "canaries", "setting": str(run.window)}
        found.add("regressions", *(place | term for term in terms(regression)))
    for claim, outcome in (("late-canaries-memorized", MEMORIZED), ("late-canaries-likelier", LOGPROB)):
        result = planted[outcome].result() if planted else Result(math.nan, problem="fewer than 20 canaries were seen")
        found.claims.append(row(claims[claim], result, run.model.name, run.final))
    if context.has_truth:
        found.recovery += monotone(panel, run.model.name, run.final)
        found.recovery += exposures_found(panel, context.truth("canaries"), run.model.name, run.final)
        if ahead is not None:
            found.recovery += never_shown(ahead[0], run.model.name, ahead[1])


def by_copies(panel: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Extractable share, share of the span matched and log-probability by the planted number of copies (of which some may be to come)."""
    for copies, chosen in panel.groupby("n_all"):
        labels = np.arange(len(chosen))
        place = {"level": "copies", "group": f"{int(copies):03d}"}  # type: ignore[call-overload]
        yield place | {"metric": "extractable"} | share(chosen["memorized"].to_numpy(), labels)
        yield place | {"metric": "matched"} | mean(chosen["matched"].to_numpy(), labels)
        yield place | {"metric": "logprob"} | mean(chosen["logprob"].to_numpy(), labels)


def regress(panel: pd.DataFrame, exposures: pd.DataFrame, step: int, rows_per_step: int) -> dict[str, Regression] | None:
    """Both outcomes on the mean place of a canary's copies seen so far, and their number; the canary is the cluster.

    Returns None with fewer than 20 canaries seen.
    """
    seen = panel[panel["n_seen"] > 0]
    if len(seen) < 20:
        return None
    rows = exposures[exposures["step"] < step].groupby("item_id")["row"].mean()
    position = rows.loc[seen["item_id"]].to_numpy() / max(step * rows_per_step - 1, 1)
    x, names = design(position, {"log2 exposures": np.log2(seen["n_seen"].to_numpy(dtype=float))})
    labels = np.arange(len(seen))
    return {o: fit_outcome(o, seen[o].to_numpy(dtype=float), x, labels, names) for o in (MEMORIZED, LOGPROB)}


def exposures_found(panel: pd.DataFrame, truth: pd.DataFrame, model: str, step: int) -> Iterator[dict[str, Any]]:
    """Recovery: the planted numbers of copies against the exposures that the search of the order found."""
    joined = panel.merge(truth[["canary_id", "repetitions"]], on="canary_id")
    for planted, chosen in joined.groupby("repetitions"):
        found = chosen["n_all"].to_numpy(dtype=float)
        yield {
            "parameter": f"exposures of canaries with {int(planted)} copies",  # type: ignore[call-overload]
            "model": model,
            "step": step,
            "truth": float(planted),  # type: ignore[arg-type]
            "estimate": float(found.mean()),
            "ci_low": float(found.min()),
            "ci_high": float(found.max()),
            "covered": bool((found == planted).all()),
            "n": len(chosen),
            "method": "search of the order for the scored tokens; the interval is the range over canaries",
            "comment": "covered if every canary's exposures equal its planted copies",
        }


def monotone(panel: pd.DataFrame, model: str, step: int) -> Iterator[dict[str, Any]]:
    """Recovery: extraction should never fall from fewer to more copies; the largest fall between neighbours, against 0."""
    groups = panel.groupby("n_all")["memorized"].agg(["sum", "size"])
    if len(groups) < 2:
        return
    events, sizes = groups["sum"].to_numpy(dtype=float), groups["size"].to_numpy(dtype=float)
    falls = events[:-1] / sizes[:-1] - events[1:] / sizes[1:]
    i = int(np.argmax(falls))
    low, high = confint_proportions_2indep(events[i], sizes[i], events[i + 1], sizes[i + 1], method="newcomb", compare="diff")
    yield {
        "parameter": "largest fall of extraction between neighbouring numbers of copies",
        "model": model,
        "step": step,
        "truth": 0.0,
        "estimate": float(falls[i]),
        "ci_low": float(low),
        "ci_high": float(high),
        "covered": bool(low <= 0),
        "n": int(sizes[i] + sizes[i + 1]),
        "method": "Newcombe's interval of the difference, at the worst pair of neighbours",
        "comment": f"{int(groups.index[i])} and {int(groups.index[i + 1])} copies; covered if the interval reaches down to 0",
    }


def never_shown(panel: pd.DataFrame, model: str, step: int) -> Iterator[dict[str, Any]]:
    """Recovery: canaries whose copies all lie ahead cannot be extractable."""
    ahead = panel[panel["n_seen"] == 0]
    if len(ahead):
        events = int(ahead["memorized"].sum())
        low, high = wilson(np.array(events), np.array(len(ahead)))
        yield {
            "parameter": "extractable share of canaries not yet seen",
            "model": model,
            "step": step,
            "truth": 0.0,
            "estimate": events / len(ahead),
            "ci_low": float(low),
            "ci_high": float(high),
            "covered": bool(low <= 0),
            "n": len(ahead),
            "method": "Wilson",
            "comment": "at the last checkpoint that has not seen at least 20 of them",
        }
