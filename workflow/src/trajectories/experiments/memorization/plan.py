"""How many rows the primary claims of the order regression take, and what the rows at hand can tell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from trajectories.experiments.memorization.hypotheses import LOG_ODDS, claims
from trajectories.experiments.memorization.settings import StimuliSettings
from trajectories.plans import Plan, PlanContext
from trajectories.statistics.claims import ALPHA, Claim
from trajectories.statistics.intervals import wilson
from trajectories.statistics.power import (
    POWER,
    case_control_information,
    linear_information,
    logistic_information,
    power_at,
    units_needed,
)
from trajectories.suites import Model

ASSUMED = (0.0032, 0.01, 0.12)
"""Shares of memorized rows that a plan without results goes through: Pythia's smallest model, Pythia's middle, and a prototype of nano."""


@dataclass(frozen=True)
class Case:
    """One claim about one model (or an assumed rate), and what is known of its sample.

    Attributes:
        claim: the claim.
        model: the model's name, or empty.
        rate: share of events among the rows that enter; NaN for a continuous outcome.
        bound: whether no event was found, so that the rate is an upper bound.
        entering: share of the sampled rows that enter the primary regression.
        effect: design effect: how many rows tell as much as an independent one; below 1 where covariates explain more than clusters cost.
        listed: further rows from a table of known events.
    """

    claim: Claim
    model: str
    rate: float
    bound: bool
    entering: float
    effect: float
    listed: int


def plan(context: PlanContext) -> Plan:
    """A line per primary claim and model, with measured rates and design effects where there are results, else with assumed rates."""
    settings = context.settings
    window = settings.analyse.recency_window
    primary = [c for c in claims(settings.analyse).values() if c.role == "primary"]
    models = [m for m in context.models if m.parent is None]
    found = context.result("claims")
    measured = found is not None and (found["role"] == "primary").any()
    cases: list[Case] = []
    for claim in primary:
        known = list(_measured(claim, models, found, context)) if found is not None else []
        cases += known or list(_assumed(claim, models, context))
    table = pd.DataFrame([_line(case, settings.stimuli, window) for case in cases])
    return Plan(table, _notes(context, models, bool(measured)))


def _listed(context: PlanContext, model: Model | None) -> int:
    """Rows that are drawn from a table of memorized ones, where the model's order names one."""
    chosen = [model] if model is not None else context.models
    orders = [context.suite.orders.get(m.order or "") for m in chosen]
    return context.settings.stimuli.cases if any(o is not None and o.memorized is not None for o in orders) else 0


def _assumed(claim: Claim, models: list[Model], context: PlanContext) -> Iterator[Case]:
    entering = 1 - context.settings.analyse.recency_window
    binary = claim.scale == LOG_ODDS
    for rate in ASSUMED if binary else (math.nan,):
        yield Case(claim, "any model", rate, False, entering, 1.0, _listed(context, None) if binary else 0)


def _measured(claim: Claim, models: list[Model], found: pd.DataFrame, context: PlanContext) -> Iterator[Case]:
    settings, high = context.settings, 1 - context.settings.analyse.recency_window
    rows = found[(found["id"] == claim.id) & (found["role"] == "primary")]
    for model in models:
        for r in rows[rows["model"] == model.name].itertuples():
            n, binary, listed = int(r.n), claim.scale == LOG_ODDS, _listed(context, model)
            if n == 0:
                continue
            rate, bound = math.nan, False
            if binary:
                events = int(r.n_events)
                bound = events == 0
                rate = float(wilson(np.array(events), np.array(n))[1]) if bound else events / n
            information = _information(rate, 0.0, high)
            stderr = (r.ci_high - r.ci_low) / 2 / stats.norm.ppf(1 - ALPHA)
            effect = information * n * stderr**2 if np.isfinite(stderr) and not bound else math.nan
            yield Case(claim, model.name, rate, bound, n / (settings.stimuli.rows + listed), effect, listed if binary else 0)


def _information(rate: float, slope: float, high: float) -> float:
    return linear_information(0, high) if math.isnan(rate) else logistic_information(rate, slope, 0, high)


def _line(case: Case, stimuli: StimuliSettings, window: float) -> dict[str, str]:
    high, margin = 1 - window, case.claim.margin
    effect = case.effect if np.isfinite(case.effect) else 1.0
    at_hand = stimuli.rows + case.listed
    cells = {
        "claim": case.claim.id,
        "model": case.model,
        "memorized": "" if math.isnan(case.rate) else f"{'at most ' if case.bound else ''}{case.rate:.2%}",
        "design effect": "unknown" if math.isnan(case.effect) else f"{case.effect:.2f}",
    }
    needs, powers = {}, {}
    for decision, truth in (("refute", 0.0), ("support", 2.0)):
        information = _information(case.rate, truth * margin, high)
        if case.listed:
            information *= _gain(case, stimuli.rows, high)
        single = units_needed(information, margin) / case.entering
        least = "at least " if case.bound else ""
        needs[f"rows to {decision}"] = f"{least}{_round(single):,}"
        needs[f"clustered, to {decision}"] = "" if math.isnan(case.effect) else f"{_round(single * effect):,}"
        powers[f"power to {decision}"] = (
            f"{'at most ' if case.bound else ''}{power_at(information, margin, at_hand * case.entering, effect):.2f}"
        )
    return cells | needs | {"rows chosen": f"{at_hand:,}"} | powers


def _gain(case: Case, rows: int, high: float) -> float:
    """How much more a row tells when further events come from a table, at slope 0."""
    return case_control_information(case.rate, rows, case.listed, 0, high) / logistic_information(case.rate, 0.0, 0, high)


def _round(rows: float) -> int:
    """Up to three digits: the rest would be false precision."""
    unit = 10 ** max(math.floor(math.log10(max(rows, 1))) - 2, 0)
    return math.ceil(rows / unit) * unit


def _notes(context: PlanContext, models: list[Model], measured: bool) -> list[str]:
    analyse = context.settings.analyse
    notes = [
        f"Rows that must be sampled for power {POWER:g} to refute a claim if there is no effect, and to support it if the effect is twice "
        f"the margin (an odds ratio of {analyse.odds_ratio:g} from the first to the last row, {analyse.shift_margin:.3f} standard "
        f"deviations); one-sided at {ALPHA:.0%}, rows spread evenly over the order, the last {analyse.recency_window:.0%} of it set apart."
    ]
    if measured:
        notes.append(
            "Rates, rows that enter (seen once, with all that is left out) and design effects (batches, copies, covariates and weights "
            "against as many independent rows) are those that the last analysis found at each model's last checkpoint."
        )
    else:
        shown = ", ".join(f"{rate:.2%}" for rate in ASSUMED)
        notes.append(
            f"There are no results of this suite, so rates of {shown} are assumed, every row outside the recency window enters, and rows "
            "count as independent."
        )
    if len(models) > 1:
        single, corrected, wanted = stats.norm.ppf([1 - ALPHA, 1 - ALPHA / len(models), POWER])
        notes.append(
            f"The claims are corrected over {len(models)} models: at Holm's first step a verdict takes up to "
            f"{((corrected + wanted) / (single + wanted)) ** 2:.1f} times as many rows."
        )
    if _listed(context, None):
        notes.append(
            f"{context.settings.stimuli.cases:,} of the rows come from a table of rows that one model can recite; the gain is that of a "
            "model that recites them too, and smaller for one that recites others."
        )
    return notes
