"""The order regression: does the place in the training order move the outcomes of rows at a fixed checkpoint?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.hypotheses import claims as declared
from trajectories.experiments.memorization.panel import PRIMARY, RECENCY, SUBSETS, Subset
from trajectories.experiments.memorization.regressions import LEAST_CLUSTERS, LOGPROB, MEMORIZED, SCORE, Regression, regress, terms
from trajectories.experiments.memorization.run import Run
from trajectories.experiments.memorization.simulations import simulation
from trajectories.findings import Calibrand, Findings
from trajectories.statistics.claims import INCONCLUSIVE, MIN_EVENTS, Claim, Result, objection, row, table
from trajectories.statistics.intervals import t_interval
from trajectories.statistics.linearity import straightness

LATE = {"late-rows-memorized": MEMORIZED, "late-rows-likelier": LOGPROB, "late-rows-reproduced": SCORE}
RECENT = {"recent-rows-memorized": MEMORIZED, "recent-rows-likelier": LOGPROB, "recent-rows-reproduced": SCORE}
SLOPES = {MEMORIZED: "slope_log_odds", LOGPROB: "slope_logprob", SCORE: "slope_score"}
UNSEARCHED = "Copies of these rows elsewhere in the order are not known: 'once' means once in the sample."


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """The primary slope at every checkpoint; the claims, and the same question asked otherwise, at the last one.

    A branch's claims are descriptive: its early training is its parent's, and after it began only what the edit left alone is seen.
    """
    settings = context.settings
    for step in run.steps.tolist():
        _slopes(run, step, settings, found)
    claims = declared(settings)
    window, rows = settings.recency_window, run.panel(run.final)
    for subset in SUBSETS:
        fitted = regress(rows, run.exposures, run.final, subset, window)
        keep(found, run, subset.name, fitted)
        deciding = subset is PRIMARY and run.primary and run.model.parent is None
        state(found, run, rows, {claims[name]: outcome for name, outcome in LATE.items()}, fitted, subset, deciding=deciding)
        if deciding:
            ask(found, run, claims, LATE, fitted, settings)
            unit(found, run, "primary regression", fitted, settings.shift_margin)
    if run.primary:
        recency = regress(rows, run.exposures, run.final, RECENCY, window)
        keep(found, run, RECENCY.name, recency)
        state(found, run, rows, {claims[name]: outcome for name, outcome in RECENT.items()}, recency, None, "recency window")
        if run.model.parent is None:
            ask(found, run, claims, RECENT, recency, settings, "recency window")
        _shape(run, rows, settings, found)


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
        f"that an odds ratio of {settings.odds_ratio:g} stands for, unless the configuration sets another; the share of tokens reproduced "
        "has the same."
    )
    decided = table([r for r in found.claims if r["claim"].id in LATE])
    if decided["model"].nunique() > 1:
        found.note(
            "The models of an order are shown the same sample of rows, so their estimates share its accidents: equal verdicts of several "
            "models are not as many replications."
        )
    _data_needed(decided, found)
    _bent(found)


def state(
    found: Findings,
    run: Run,
    rows: pd.DataFrame,
    claims: Mapping[Claim, str],
    fitted: dict[str, Regression] | None,
    subset: Subset | None,
    term: str = "position",
    *,
    deciding: bool = False,
) -> None:
    """Add a claim about each outcome that was measured, from its regression.

    Args:
        rows: the panel that was regressed.
        claims: claim to its outcome.
        fitted: regressions by outcome, or None where there were too few clusters.
        subset: names the claims' group unless it is the primary one; None where the claim itself names its sample.
        term: the coefficient that the claim is about.
        deciding: whether the claims keep the role that they were declared with.
    """
    named = [subset.name] if subset is not None and subset is not PRIMARY else []
    group = ", ".join([*named, *([] if run.primary else [str(run.window)])])
    for claim, outcome in claims.items():
        if outcome in run.outcomes:
            result = result_of(fitted, outcome, term)
            role = None if deciding else "descriptive"
            found.claims.append(row(claim, result, run.model.name, run.final, group, role=role, caveat=caveat(rows)))


def unit(found: Findings, run: Run, name: str, fitted: dict[str, Regression] | None, margin: float) -> None:
    """A note on the unit of the log-probability: the marginal standard deviation, which holding content fixed leaves as it is."""
    regression = (fitted or {}).get(LOGPROB)
    if regression is None or regression.fit.problem is not None or not regression.fit.residual_sd > 0:
        return
    left = regression.fit.residual_sd / regression.unit
    found.note(
        f"{run.model.name}, {name}: the standard deviation of the log-probability is its spread over rows as they are "
        f"({regression.unit:.2f} nats per token). The covariates explain {max(1 - left**2, 0):.0%} of the variance, so that the margin of "
        f"{margin:.3f} is {margin / left:.2f} of the standard deviation that is left."
    )


def caveat(rows: pd.DataFrame) -> str:
    """What a claim about rows seen once should add where the order was not searched for copies, or nothing."""
    return "" if rows["copies_known"].all() else UNSEARCHED


def ask(
    found: Findings,
    run: Run,
    claims: Mapping[str, Claim],
    outcomes: Mapping[str, str],
    fitted: dict[str, Regression] | None,
    settings: Any,
    term: str = "position",
    test: str | None = None,
) -> None:
    """Have the claims' decisions tried on simulated data, on the design of these regressions."""
    for name, outcome in outcomes.items():
        regression = (fitted or {}).get(outcome)
        if regression is not None and term in regression.names:
            simulate = simulation(regression, settings.cluster_correlation, term)
            found.calibrands.append(Calibrand(claims[name], run.model.name, simulate, objection(regression.result(term)), test))


def result_of(fitted: dict[str, Regression] | None, outcome: str, term: str = "position") -> Result:
    """A coefficient on the claim's scale, or why there is none."""
    if fitted is None:
        return Result(math.nan, problem=f"fewer than {LEAST_CLUSTERS} independent clusters of rows were seen")
    if term not in fitted[outcome].names:
        return Result(math.nan, problem=f"the rows do not differ in '{term}'")
    return fitted[outcome].result(term)


def keep(found: Findings, run: Run, subset: str, fitted: dict[str, Regression] | None) -> None:
    """Every coefficient to the table ``regressions``."""
    place = {"model": run.model.name, "step": run.final, "subset": subset, "setting": str(run.window)}
    for regression in (fitted or {}).values():
        found.add("regressions", *(place | term for term in terms(regression)))


def slope(run: Run, step: int, metric: str, group: str, result: Result) -> dict[str, Any]:
    """A slope as a trajectory, with its 95 % interval."""
    low, high = t_interval(result.estimate, result.stderr, result.df)
    place = {"model": run.model.name, "step": step, "setting": str(run.window), "level": "subset", "group": group, "metric": metric}
    return place | {
        "value": result.estimate,
        "stderr": result.stderr,
        "ci_low": low,
        "ci_high": high,
        "n": result.n,
        "method": result.method,
    }


def _slopes(run: Run, step: int, settings: Any, found: Findings) -> None:
    for outcome, regression in (regress(run.panel(step), run.exposures, step, PRIMARY, settings.recency_window) or {}).items():
        result = regression.result()
        if not objection(result):
            found.trajectories.append(slope(run, step, SLOPES[outcome], PRIMARY.name, result))


def _shape(run: Run, rows: pd.DataFrame, settings: Any, found: Findings) -> None:
    """Tables ``linearity`` and ``curves``: how far a spline bends away from the straight line of the primary regression."""
    fitted = regress(rows, run.exposures, run.final, PRIMARY, settings.recency_window, knots=settings.order.knots)
    keep(found, run, f"{PRIMARY.name}, bent", fitted)
    for outcome, regression in (fitted or {}).items():
        if objection(regression.result()):
            continue
        margin = settings.log_odds_margin if outcome == MEMORIZED else settings.shift_margin
        tested, curve = straightness(regression.fit, regression.x[:, regression.names.index("position")], margin * regression.unit)
        place = {"model": run.model.name, "step": run.final, "outcome": outcome}
        found.add("linearity", place | {"unit": regression.unit} | tested)
        found.add("curves", *(place | {name: v if name == "x" else v / regression.unit for name, v in point.items()} for point in curve))


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
    for r in found.extra.get("linearity", []):
        if r["shape"] == "bent":
            found.note(
                f"{r['model']}: the trend of {r['outcome']} over positions is bent (F = {r['f']:.1f}, p = {r['p']:.2g}). The distance from "
                f"the straight line is largest at {r['place']:.2f} of the rows seen, where it is estimated at {abs(r['deviation']):.2g} "
                f"margins; by the one-sided 95 % bounds it is at most {r['deviation_bound']:.2g} margins at any place. The verdict is "
                f"about the straight line; between the first and the last of these rows the bent trend rises by {r['rise']:.2g} margins "
                f"({r['rise_low']:.2g} to {r['rise_high']:.2g})."
            )
