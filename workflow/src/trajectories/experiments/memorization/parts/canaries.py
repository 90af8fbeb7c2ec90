"""Canaries: random sequences planted a known number of times at places drawn at random.

Since places are random, an effect of the place is caused by it, for that model. Two effects are told apart: that on the last checkpoint,
where a later place is also a younger age, and that at equal age, where every canary is measured at the first checkpoint after its last
copy and compared with those that are never planted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.effects import PRODUCT, Block, by_mix, effect, mix
from trajectories.experiments.memorization.fresh import beside, fresh, never_planted
from trajectories.experiments.memorization.hypotheses import LOG_ODDS, WITHIN, declare
from trajectories.experiments.memorization.hypotheses import claims as shared_claims
from trajectories.experiments.memorization.parts.description import mean, share
from trajectories.experiments.memorization.planted_canaries import LEAST_AHEAD, design, monotone, never_shown
from trajectories.experiments.memorization.regressions import LOGPROB, MEMORIZED, Regression, fit_outcome, terms
from trajectories.experiments.memorization.run import Run
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.findings import Findings
from trajectories.statistics import order_regression
from trajectories.statistics.claims import Claim, Result, row
from trajectories.statistics.intervals import t_interval

LEAST_CANARIES = 20
"""Fewer canaries allow no regression."""
LEAST_SPAN = 0.75
"""Canaries whose places cover less of training tell nothing about an effect from its first to its last place."""
PLACES = 6
"""Parts of training in the figure over places."""


UNCONTROLLED = (
    "Levels of different checkpoints are compared as they are: too few canaries are never planted to tell what the period of training does "
    "to any canary."
)
"""Caveat of claims at equal age."""
CONTROLLED = (
    "At equal age canaries are measured at different checkpoints. The mean log-probability of the never-planted canaries at the same "
    "checkpoint is subtracted, and its sampling error is part of the interval; a period that shifts canaries that were met otherwise than "
    "those that were not is not removed. Odds of being memorized have no such comparison."
)
SCALED = (
    "Shifts of canaries' log-probability are in standard deviations of the residuals, given their copies, place and age: over all canaries "
    "the spread is mostly that of the copies planted. Those of natural rows are in standard deviations over all rows of the sample, "
    "whatever their text."
)


def claims(settings: AnalyseSettings) -> dict[str, Claim]:
    """The claims about canaries that are this part's own."""
    window, odds, shift = settings.recency_window, settings.log_odds_margin, settings.shift_margin
    measured = f"Measured at the first checkpoint after their last copy, at most {window:.0%} of training later and adjusted for that age,"
    rival = "Forgetting alone: what counts is how long ago a canary was met, and at equal age its place makes no difference."
    found = [
        declare(
            "fresh-canaries-memorized",
            "At equal age, canaries planted later in training are more likely to be memorized.",
            f"{measured} the odds rise from the first to the last place by a factor above {settings.odds_ratio:g}.",
            f"{rival} Or the period, which nothing removes from odds: never-planted canaries have none to compare with.",
            "fresh_slope_log_odds",
            LOG_ODDS,
            odds,
            role="descriptive",
        ),
        declare(
            "fresh-canaries-likelier",
            "At equal age, canaries planted later in training are given a higher probability.",
            f"{measured} the log-probability less that of never-planted canaries at the same checkpoint rises from the first to the last "
            f"place by more than {shift:.3f} standard deviations among canaries with the same copies and place.",
            f"{rival} Or the period: at that time any canary is given another probability, met or not, which is removed as far as the "
            "never-planted ones shift alike.",
            "fresh_slope_logprob",
            WITHIN,
            shift,
            role="descriptive",
        ),
        declare(
            "more-copies-memorized",
            "The more copies of a canary there are, the more likely it is memorized.",
            f"With each doubling of the copies the odds rise by a factor above {settings.odds_ratio:g}, at the same place in training.",
            "Repetition adds little: what counts is when a canary was last met.",
            "copies_log_odds",
            LOG_ODDS,
            odds,
            role="descriptive",
        ),
    ]
    return {claim.id: claim for claim in found}


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """Canaries by their copies at every checkpoint; the effects of their places and copies, and what was planted, at the last one."""
    ahead = None
    for step in run.steps.tolist():
        panel = run.panel(step, "canary")
        place = {"model": run.model.name, "step": step, "setting": str(run.window)}
        found.trajectories += [place | r for r in by_copies(panel)]
        if ((panel["n_seen"] == 0) & (panel["n_all"] > 0)).sum() >= LEAST_AHEAD:
            ahead = (panel, step)
    last = placed(run)
    if last.empty:
        return
    settings = context.settings
    declared = shared_claims(settings) | claims(settings)
    young = fresh(run)
    young = young[young["age"] <= settings.recency_window]
    never = never_planted(run)
    for subset, sample, controls, ids in (
        ("canaries", last[last["n_seen"] > 0], None, ("late-canaries-memorized", "late-canaries-likelier")),
        ("canaries at equal age", young, never, ("fresh-canaries-memorized", "fresh-canaries-likelier")),
    ):
        fitted = regress(sample, controls)
        place = {"model": run.model.name, "step": run.final, "subset": subset, "setting": str(run.window)}
        for regression in (fitted or {}).values():
            found.add("regressions", *(place | term for term in terms(regression)))
        odds, likelier = (declared[claim] for claim in ids)
        found.claims.append(row(odds, _covering(_result(fitted, MEMORIZED), sample), run.model.name, run.final))
        if fitted is None:
            found.claims.append(row(likelier, _result(fitted, LOGPROB), run.model.name, run.final))
            continue
        whole = block(sample, fitted[LOGPROB], controls)
        parts = by_mix(whole, sample["n_seen"].to_numpy())
        found.add("canary_slopes", *(place | {"copies": name} | _slope(result) for name, result in parts))
        caveats = [mix(parts), UNCONTROLLED if controls is None and "age" in sample else ""]
        result = _covering(effect(LOGPROB, [whole]), sample)
        found.claims.append(row(likelier, result, run.model.name, run.final, caveat=" ".join(filter(None, caveats))))
    found.note(SCALED)
    if never is not None:
        found.note(CONTROLLED)
    doubling = doublings(last[last["n_seen"] > 0])
    found.claims.append(row(declared["more-copies-memorized"], doubling, run.model.name, run.final))
    found.add("canary_places", *({"model": run.model.name, "step": run.final} | r for r in by_place(last)))
    if context.has_truth:
        found.recovery += monotone(last, run.model.name, run.final)
        first = next((m.name for m in context.suite.models if m.order == run.model.order), None)
        if run.model.name == first:  # the design is the order's, not the model's
            found.recovery += design(run, context.truth("canaries"))
        if ahead is not None:
            found.recovery += never_shown(ahead[0][ahead[0]["n_all"] > 0], run.model.name, ahead[1])
        found.recovery += never_shown(last[last["n_all"] == 0], run.model.name, run.final)


def by_copies(panel: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Extractable share, share of the span matched and log-probability by the planted number of copies (of which some may be to come)."""
    for copies, chosen in panel.groupby("n_all"):
        labels = np.arange(len(chosen))
        place = {"level": "copies", "group": f"{int(copies):03d}"}  # type: ignore[call-overload]
        yield place | {"metric": "extractable"} | share(chosen["memorized"].to_numpy(), labels)
        yield place | {"metric": "matched"} | mean(chosen["matched"].to_numpy(), labels)
        yield place | {"metric": "logprob"} | mean(chosen["logprob"].to_numpy(), labels)


def placed(run: Run) -> pd.DataFrame:
    """The canaries at the last checkpoint: the run's panel with ``place``, the mean place of the copies seen (0 to 1; NaN if none is)."""
    panel = run.panel(run.final, "canary")
    rows = run.exposures[run.exposures["step"] < run.final].groupby("item_id")["row"].mean()
    return panel.assign(place=panel["item_id"].map(rows).astype(float) / max(run.final * run.model.rows_per_step - 1, 1))


def columns(sample: pd.DataFrame, outcome: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Columns of a regression over canaries: their place, their number of copies (a level each, as places were drawn), and their age.

    Means may depend on the place more for some copies than for others: the product of the two, centred, takes up what would be noise and
    leaves the place's coefficient an average over canaries (Lin 2013, *Ann. Appl. Stat.* 7).

    Args:
        sample: ``place, n_seen`` and perhaps ``age``, as of :func:`placed` or :func:`~trajectories.experiments.memorization.fresh.fresh`.
        outcome: log odds go without the product.
    """
    copies = sample["n_seen"].to_numpy()
    covariates = {"log2 exposures": np.log2(copies.astype(float))}
    covariates |= {f"{int(c)} copies": (copies == c).astype(float) for c in np.unique(copies)}
    place, level = sample["place"].to_numpy(dtype=float), np.log2(copies.astype(float))
    if outcome != MEMORIZED:
        covariates[PRODUCT] = (place - place.mean()) * (level - level.mean())
    if "age" in sample:
        age = sample["age"].to_numpy(dtype=float)
        covariates |= {"age": age, "age²": age**2}
    return order_regression.design(place, covariates)


def regress(sample: pd.DataFrame, never: pd.DataFrame | None = None) -> dict[str, Regression] | None:
    """Both outcomes on the canaries' places; the canary is the cluster. None with fewer than :data:`LEAST_CANARIES`.

    Args:
        sample: as of :func:`placed` or :func:`~trajectories.experiments.memorization.fresh.fresh`.
        never: canaries that are never planted, whose mean at the same checkpoint is subtracted from the log-probability. Standard errors
            take that mean as given; :func:`~trajectories.experiments.memorization.effects.effect` adds its sampling error.
    """
    if len(sample) < LEAST_CANARIES:
        return None
    labels = np.arange(len(sample))
    fitted = {}
    for outcome in (MEMORIZED, LOGPROB):
        x, names = columns(sample, outcome)
        y = sample[outcome].to_numpy(dtype=float)
        if outcome == LOGPROB and never is not None:
            y = y - beside(sample, never).mean(axis=0)
        found = fit_outcome(outcome, y, x, labels, names)
        fitted[outcome] = replace(found, unit=found.fit.residual_sd or 1.0) if outcome == LOGPROB else found
    return fitted


def block(sample: pd.DataFrame, fitted: Regression, never: pd.DataFrame | None = None) -> Block:
    """The sample of a regression over canaries as one run's block."""
    controls = None if never is None else beside(sample, never)
    return Block(fitted.y[:, None], fitted.x, fitted.names, fitted.labels, within=True, never=controls)


def _slope(result: Result) -> dict[str, Any]:
    low, high = t_interval(result.estimate, result.stderr, result.df)
    return {"estimate": result.estimate, "stderr": result.stderr, "ci_low": low, "ci_high": high, "n": result.n, "method": result.method}


def _covering(result: Result, sample: pd.DataFrame) -> Result:
    """The result, with a problem where the canaries' places cover too little of training, as they do at a branch's own checkpoints."""
    low, high = sample["place"].min(), sample["place"].max()
    if result.problem is not None or high - low >= LEAST_SPAN:
        return result
    return replace(result, problem=f"the canaries' places reach from {low:.2f} to {high:.2f} of training, and the claim is about all of it")


def doublings(sample: pd.DataFrame) -> Result:
    """Log odds ratio of being memorized per doubling of a canary's copies, at the same place."""
    if len(sample) < LEAST_CANARIES or sample["n_seen"].nunique() < 2:
        return Result(math.nan, problem="too few canaries, or none with another number of copies, were seen")
    x = np.column_stack([np.ones(len(sample)), np.log2(sample["n_seen"].to_numpy(dtype=float)), sample["place"].to_numpy(dtype=float)])
    fit = order_regression.firth_logistic(sample["memorized"].to_numpy(), x, np.arange(len(sample)), ("intercept", "doubling", "position"))
    return fit.result("doubling")


def by_place(sample: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Canaries by number of copies and part of training: ``copies, x, metric`` and a mean with its interval."""
    seen = sample[sample["n_seen"] > 0]
    part = np.minimum((seen["place"] * PLACES).astype(int), PLACES - 1)
    for (copies, i), chosen in seen.groupby([seen["n_all"], part]):
        labels = np.arange(len(chosen))
        place = {"copies": int(copies), "x": (int(i) + 0.5) / PLACES}
        yield place | {"metric": "extractable"} | share(chosen["memorized"].to_numpy(), labels)
        yield place | {"metric": "logprob"} | mean(chosen["logprob"].to_numpy(), labels)


def _result(fitted: dict[str, Regression] | None, outcome: str) -> Result:
    if fitted is None:
        return Result(math.nan, problem=f"fewer than {LEAST_CANARIES} canaries were seen")
    return fitted[outcome].result()
