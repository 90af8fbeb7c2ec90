"""The order regression: does the place in the training order move the outcomes of rows at a fixed checkpoint?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.findings import Calibrand, Findings
from trajectories.experiments.memorization.hypotheses import claims as declared
from trajectories.experiments.memorization.panel import PRIMARY, RECENCY, SUBSETS
from trajectories.experiments.memorization.regressions import LEAST_CLUSTERS, LOGPROB, MEMORIZED, Regression, regress, terms
from trajectories.experiments.memorization.run import Run
from trajectories.experiments.memorization.simulations import simulation
from trajectories.statistics.claims import INCONCLUSIVE, MIN_EVENTS, Result, objection, row, table
from trajectories.statistics.intervals import t_interval

OUTCOMES = {"late-rows-memorized": MEMORIZED, "late-rows-likelier": LOGPROB}
SLOPES = {MEMORIZED: "slope_log_odds", LOGPROB: "slope_logprob"}
UNSEARCHED = "Copies of these rows elsewhere in the order are not known: 'once' means once in the sample."


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """The primary slope at every checkpoint; the claims, and the same question asked otherwise, at the last one.

    A branch's claims are descriptive: its early training is its parent's, and after it began only what the edit left alone is seen.
    """
    settings = context.settings
    for step in run.steps:
        _slopes(run, int(step), settings, found)
    claims = declared(settings)
    window, last, rows = settings.recency_window, run.final, run.panel(run.final)
    start = len(found.claims)
    for subset in SUBSETS:
        fitted = regress(rows, run.exposures, last, subset, window)
        _keep(found, run, subset.name, fitted)
        deciding = subset is PRIMARY and run.primary
        if deciding and fitted and run.model.parent is None:
            found.calibrands += [
                Calibrand(
                    claims[claim], run.model.name, simulation(fitted[outcome], settings.cluster_correlation), _objection(fitted, outcome)
                )
                for claim, outcome in OUTCOMES.items()
            ]
        for claim, outcome in OUTCOMES.items():
            group = ", ".join([*([] if subset is PRIMARY else [subset.name]), *([] if run.primary else [str(run.window)])])
            role = None if deciding and run.model.parent is None else "descriptive"
            found.claims.append(row(claims[claim], _result(fitted, outcome), run.model.name, last, group, role=role))
    if run.primary:
        _keep(found, run, f"{PRIMARY.name}, with a square", regress(rows, run.exposures, last, PRIMARY, window, power=2))
        recency = regress(rows, run.exposures, last, RECENCY, window)
        _keep(found, run, RECENCY.name, recency)
        for claim, outcome in (("recent-rows-memorized", MEMORIZED), ("recent-rows-likelier", LOGPROB)):
            found.claims.append(row(claims[claim], _result(recency, outcome, "recency window"), run.model.name, last))
    if not rows["copies_known"].all():
        for claimed in found.claims[start:]:
            claimed["caveat"] = UNSEARCHED


def compare(runs: Sequence[Run], context: AnalysisContext, found: Findings) -> None:
    """What a reader should know beside the verdicts: how much data a verdict would take, and whether the trend is straight."""
    settings = context.settings
    found.note(
        "The position is that of the row among the rows seen, 0 the first and 1 the last; rows of the last "
        f"{settings.recency_window:.0%} are set apart from the primary regressions. It is the total effect of position at a fixed "
        "checkpoint: a later row is a younger one and was met at another learning rate."
    )
    found.note(
        f"The margin of the log-probability, {settings.shift_margin:.3f} standard deviations, is the shift of a logistic latent variable "
        f"that an odds ratio of {settings.odds_ratio:g} stands for, unless the configuration sets another."
    )
    decided = table([r for r in found.claims if r["claim"].id in OUTCOMES])
    if decided["model"].nunique() > 1:
        found.note(
            "The models of an order are shown the same sample of rows, so their estimates share its accidents: equal verdicts of several "
            "models are not as many replications."
        )
    _data_needed(decided, found)
    _bent(found)


def _slopes(run: Run, step: int, settings: Any, found: Findings) -> None:
    for outcome, regression in (regress(run.panel(step), run.exposures, step, PRIMARY, settings.recency_window) or {}).items():
        result = regression.result()
        if objection(result):
            continue
        low, high = t_interval(result.estimate, result.stderr, result.df)
        place = {"model": run.model.name, "step": step, "setting": str(run.window), "level": "subset", "group": PRIMARY.name}
        slope = {"metric": SLOPES[outcome], "value": result.estimate, "stderr": result.stderr, "ci_low": low, "ci_high": high}
        found.trajectories.append(place | slope | {"n": result.n, "method": result.method})


def _objection(fitted: dict[str, Regression], outcome: str) -> str | None:
    return objection(fitted[outcome].result())


def _result(fitted: dict[str, Regression] | None, outcome: str, term: str = "position") -> Result:
    if fitted is None:
        return Result(math.nan, problem=f"fewer than {LEAST_CLUSTERS} independent clusters of rows were seen")
    if term not in fitted[outcome].names:
        return Result(math.nan, problem=f"the rows do not differ in '{term}'")
    return fitted[outcome].result(term)


def _keep(found: Findings, run: Run, subset: str, fitted: dict[str, Regression] | None) -> None:
    place = {"model": run.model.name, "step": run.final, "subset": subset, "setting": str(run.window)}
    for regression in (fitted or {}).values():
        found.add("regressions", *(place | term for term in terms(regression)))


def _data_needed(decided: pd.DataFrame, found: Findings) -> None:
    for claim in decided[(decided["role"] == "primary") & (decided["verdict"] == INCONCLUSIVE)].itertuples():
        stderr = (claim.ci_high - claim.ci_low) / 2 / stats.norm.ppf(0.95)
        few = pd.notna(claim.n_events) and min(claim.n_events, claim.n - claim.n_events) < MIN_EVENTS
        if np.isfinite(stderr) and not few:
            needed = claim.n * ((stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) * stderr / claim.margin) ** 2
            found.note(
                f"{claim.model}, {claim.id}: to rule an effect of the margin out with power 0.8 if there is none would take about "
                f"{needed:,.0f} rows like these, before correction over models; there are {claim.n:,}."
            )


def _bent(found: Findings) -> None:
    for r in found.extra.get("regressions", []):
        few = r["n_events"] is not None and min(r["n_events"], r["n"] - r["n_events"]) < MIN_EVENTS
        if r["term"] == "position²" and np.isfinite(r["stderr"]) and not few:
            p = 2 * stats.t.sf(abs(r["estimate"]) / r["stderr"], r["df"])
            if p < 0.05:
                found.note(
                    f"{r['model']}: the trend of {r['outcome']} over positions is bent (square term {r['estimate']:.3g}, p = {p:.2g})."
                )
