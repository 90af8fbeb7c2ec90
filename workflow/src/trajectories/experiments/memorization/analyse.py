"""From measurements of rows and canaries to trajectories, claims, calibration and recovery."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from trajectories.analysis import RECOVERY, Analysis, AnalysisContext, empty
from trajectories.experiments.memorization import canaries, describe
from trajectories.experiments.memorization.hypotheses import claims as declared
from trajectories.experiments.memorization.panel import PRIMARY, RECENCY, SUBSETS, panel
from trajectories.experiments.memorization.regressions import LEAST_CLUSTERS, LOGPROB, MEMORIZED, Regression, regress, terms
from trajectories.experiments.memorization.simulations import simulation
from trajectories.statistics.calibration import calibrate, joined
from trajectories.statistics.claims import INCONCLUSIVE, MIN_EVENTS, Result, objection, row, table
from trajectories.statistics.intervals import t_interval

OWN = ["model", "step", "metric", "level", "group", "setting", "value", "stderr", "ci_low", "ci_high", "n", "method"]
OUTCOMES = {"late-rows-memorized": MEMORIZED, "late-rows-likelier": LOGPROB}
SLOPES = {MEMORIZED: "slope_log_odds", LOGPROB: "slope_logprob"}


@dataclass
class Found:
    """What is gathered over the checkpoints."""

    trajectories: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    regressions: list[dict[str, Any]] = field(default_factory=list)
    positions: list[dict[str, Any]] = field(default_factory=list)
    recovery: list[dict[str, Any]] = field(default_factory=list)
    primary: dict[str, dict[str, Regression]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint with what it has seen: the panels of rows and canaries, and the exposures of what its model is trained on."""

    model: str
    step: int
    rows_per_step: int
    rows: pd.DataFrame
    canaries: pd.DataFrame
    exposures: pd.DataFrame
    branch: bool


def analyse(context: AnalysisContext) -> Analysis:
    """Shares, log-probabilities and slopes at every checkpoint; claims at each model's last one.

    Extra tables: ``regressions`` (every coefficient of every regression, in log odds or nats per token) and ``positions`` (outcomes by part
    of the order at the last checkpoint).
    """
    settings = context.settings
    if context.stimuli is None or context.exposures is None:
        raise ValueError("the memorization experiment needs stimuli and exposures")
    found = Found()
    planted: dict[str, Checkpoint] = {}
    for checkpoint in _checkpoints(context):
        _describe(checkpoint, found, settings.recency_window)
        if (checkpoint.canaries["n_seen"] == 0).sum() >= 20:
            planted[checkpoint.model] = checkpoint
        if checkpoint.step == context.final(checkpoint.model):
            _decide(checkpoint, found, settings)
            _place(checkpoint, found, settings)
            _recover(checkpoint, found, context)
    for checkpoint in planted.values():
        found.recovery += canaries.never_shown(checkpoint.canaries, checkpoint.model, checkpoint.step)
    decided = table(found.claims)
    _qualify(decided, context)
    _note(found, decided, settings)
    setting = f"k={int(context.stimuli['start'].iloc[0])},l={int((context.stimuli['end'] - context.stimuli['start']).iloc[0])}"
    return Analysis(
        pd.DataFrame([{"setting": setting} | r for r in found.trajectories], columns=OWN),
        decided,
        _calibration(context, found),
        pd.DataFrame(found.recovery, columns=RECOVERY.names) if found.recovery else empty(RECOVERY),
        {"regressions": pd.DataFrame(found.regressions), "positions": pd.DataFrame(found.positions)},
        found.notes,
    )


def _checkpoints(context: AnalysisContext) -> Iterator[Checkpoint]:
    assert context.stimuli is not None
    assert context.exposures is not None
    known: dict[str, pd.DataFrame] = {}
    for name, step, measured in context.measurements():
        model = context.model(name)
        exposures = known.setdefault(name, context.exposures_of(name))
        everything = panel(context.stimuli, exposures, measured, step, model.rows_per_step)
        kinds = {kind: everything[everything["kind"] == kind].reset_index(drop=True) for kind in ("row", "canary")}
        yield Checkpoint(name, step, model.rows_per_step, kinds["row"], kinds["canary"], exposures, model.parent is not None)


def _describe(c: Checkpoint, found: Found, window: float) -> None:
    """What is seen over training: shares and means by exposure, canaries by copies, and the primary slope."""
    place = {"model": c.model, "step": c.step}
    found.trajectories += [place | r for r in describe.by_exposure(c.rows, c.exposures, c.step, window)]
    found.trajectories += [place | r for r in canaries.by_copies(c.canaries)]
    fitted = regress(c.rows, c.exposures, c.step, PRIMARY, window)
    for outcome, regression in (fitted or {}).items():
        result = regression.result()
        if objection(result):
            continue
        low, high = t_interval(result.estimate, result.stderr, result.df)
        slope = {"metric": SLOPES[outcome], "level": "subset", "group": PRIMARY.name, "value": result.estimate, "stderr": result.stderr}
        found.trajectories.append(place | slope | {"ci_low": low, "ci_high": high, "n": result.n, "method": result.method})


def _place(c: Checkpoint, found: Found, settings: Any) -> None:
    """Both outcomes by place in the order."""
    parts = describe.by_position(c.rows, c.exposures, c.step, settings.bins, settings.recency_window)
    found.positions += [{"model": c.model, "step": c.step} | part for part in parts]


def _decide(c: Checkpoint, found: Found, settings: Any) -> None:
    """The claims at a model's last checkpoint: the primary ones, then the same question asked otherwise.

    A branch's claims are descriptive: its early training is its parent's, and after it began only what the edit left alone is seen.
    """
    claims = declared(settings)
    window = settings.recency_window
    for subset in SUBSETS:
        fitted = regress(c.rows, c.exposures, c.step, subset, window)
        _keep(found, c, subset.name, fitted)
        if subset is PRIMARY and fitted and not c.branch:
            found.primary[c.model] = fitted
        for claim, outcome in OUTCOMES.items():
            group = "" if subset is PRIMARY else subset.name
            role = "descriptive" if c.branch or subset is not PRIMARY else None
            found.claims.append(row(claims[claim], _result(fitted, outcome), c.model, c.step, group, role=role))
    bent = regress(c.rows, c.exposures, c.step, PRIMARY, window, power=2)
    _keep(found, c, f"{PRIMARY.name}, with a square", bent)
    recency = regress(c.rows, c.exposures, c.step, RECENCY, window)
    _keep(found, c, RECENCY.name, recency)
    for claim, outcome in (("recent-rows-memorized", MEMORIZED), ("recent-rows-likelier", LOGPROB)):
        found.claims.append(row(claims[claim], _result(recency, outcome, "recency window"), c.model, c.step))
    if len(c.canaries):
        planted = canaries.regress(c.canaries, c.exposures, c.step, c.rows_per_step)
        _keep(found, c, "canaries", planted)
        for claim, outcome in (("late-canaries-memorized", MEMORIZED), ("late-canaries-likelier", LOGPROB)):
            found.claims.append(row(claims[claim], _result(planted, outcome), c.model, c.step))


def _result(fitted: dict[str, Regression] | None, outcome: str, term: str = "position") -> Result:
    if fitted is None:
        return Result(math.nan, problem=f"fewer than {LEAST_CLUSTERS} independent clusters of rows were seen")
    if term not in fitted[outcome].names:
        return Result(math.nan, problem=f"the rows do not differ in '{term}'")
    return fitted[outcome].result(term)


def _keep(found: Found, c: Checkpoint, subset: str, fitted: dict[str, Regression] | None) -> None:
    for regression in (fitted or {}).values():
        found.regressions += [{"model": c.model, "step": c.step, "subset": subset} | r for r in terms(regression)]


def _recover(c: Checkpoint, found: Found, context: AnalysisContext) -> None:
    if context.has_truth and len(c.canaries):
        found.recovery += canaries.monotone(c.canaries, c.model, c.step)
        found.recovery += canaries.exposures_found(c.canaries, context.truth("canaries"), c.model, c.step)


def _qualify(decided: pd.DataFrame, context: AnalysisContext) -> None:
    """Say with each claim on rows whose order was too long to be searched that their copies are not known."""
    assert context.stimuli is not None
    unsearched = set(context.stimuli.loc[~context.stimuli["copies_known"], "source"])
    concerned = decided["model"].map(lambda name: context.model(name).order in unsearched)
    decided.loc[concerned, "reason"] += " Copies of these rows elsewhere in the order are not known: 'once' means once in the sample."


def _calibration(context: AnalysisContext, found: Found) -> pd.DataFrame:
    """Each primary claim on the design of the largest model's last checkpoint, for one model and for the family."""
    if not found.primary:
        return joined([])
    by_size = sorted(found.primary, key=lambda name: context.model(name).parameters_non_embedding, reverse=True)
    claims, settings, tables = declared(context.settings), context.settings, []
    for name, outcome in OUTCOMES.items():
        objections = {model: objection(found.primary[model][outcome].result()) for model in by_size}
        largest = next((model for model in by_size if objections[model] is None), None)
        if largest is None:
            found.notes.append(f"{name} is not calibrated, since no model allows a verdict. {objections[by_size[0]]}")
            continue
        simulate = simulation(found.primary[largest][outcome], settings.cluster_correlation)
        families = sorted({1, len(found.primary)})
        tables.append(calibrate(claims[name], simulate, n_sim=settings.simulations, seed=context.seed, family=families))
        found.notes.append(f"The calibration of {name} simulates on the rows of {largest} at step {context.final(largest)}.")
    return joined(tables)


def _note(found: Found, decided: pd.DataFrame, settings: Any) -> None:
    """What a reader should know beside the verdicts: how much data a verdict would take, and whether the trend is straight."""
    found.notes.append(
        "The position is that of the row among the rows seen, 0 the first and 1 the last; rows of the last "
        f"{settings.recency_window:.0%} are set apart from the primary regressions. It is the total effect of position at a fixed "
        "checkpoint: a later row is a younger one and was met at another learning rate."
    )
    found.notes.append(
        f"The margin of the log-probability, {settings.shift_margin:.3f} standard deviations, is the shift of a logistic latent variable "
        f"that an odds ratio of {settings.odds_ratio:g} stands for, unless the configuration sets another."
    )
    if decided["model"].nunique() > 1:
        found.notes.append(
            "The models of an order are shown the same sample of rows, so their estimates share its accidents: equal verdicts of several "
            "models are not as many replications."
        )
    for claim in decided[(decided["role"] == "primary") & (decided["verdict"] == INCONCLUSIVE)].itertuples():
        stderr = (claim.ci_high - claim.ci_low) / 2 / stats.norm.ppf(0.95)
        few = pd.notna(claim.n_events) and min(claim.n_events, claim.n - claim.n_events) < MIN_EVENTS
        if np.isfinite(stderr) and not few:
            needed = claim.n * ((stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) * stderr / claim.margin) ** 2
            found.notes.append(
                f"{claim.model}, {claim.id}: to rule an effect of the margin out with power 0.8 if there is none would take about "
                f"{needed:,.0f} rows like these, before correction over models; there are {claim.n:,}."
            )
    for r in found.regressions:
        few = r["n_events"] is not None and min(r["n_events"], r["n"] - r["n_events"]) < MIN_EVENTS
        if r["term"] == "position²" and np.isfinite(r["stderr"]) and not few:
            p = 2 * stats.t.sf(abs(r["estimate"]) / r["stderr"], r["df"])
            if p < 0.05:
                found.notes.append(
                    f"{r['model']}: the trend of {r['outcome']} over positions is bent (square term {r['estimate']:.3g}, p = {p:.2g})."
                )
