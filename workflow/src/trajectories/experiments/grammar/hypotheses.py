"""The claims of ``grammar``: stated with direction, rival and margin before the data are seen, then decided for every model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.grammar import acquired, effects, simulations
from trajectories.experiments.grammar.scores import CHANCE, Scores
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import acquisition as timing
from trajectories.statistics import claims, rank_agreement
from trajectories.statistics.claims import Claim, Result
from trajectories.suites import Model, Suite

declare = partial(claims.declare, "grammar")
"""A claim of this experiment: :func:`trajectories.statistics.claims.declare`."""
SHARED = "shared-order"
SHARED_GIVEN = "shared-order-given-difficulty"
EARLY = "learnt-early"
SOONER = "larger-sooner"
SOONER_FIXED = "larger-sooner-fixed-level"
FREQUENT = "frequent-sooner"
NET_SHARE = "net share of the paradigms told apart"
SAME_PAIRS = (
    "All models judge the same pairs, so their errors are alike and the verdicts of a family are not independent pieces of evidence."
)


def declared(settings: Any) -> dict[str, Claim]:
    """The claims by id; all that the data could sway is fixed here or in the settings."""
    found = [
        declare(
            SHARED,
            statement="Models acquire grammatical paradigms in a common order.",
            prediction="A paradigm's rank in a model's order of acquisition correlates with its mean rank in the other models'.",
            rival="Each run has an order of its own; or only what is hard for all in the end is shared (see the rows given difficulty).",
            metric="acquisition",
            scale="rank correlation",
            margin=settings.shared_order_margin,
        ),
        declare(
            SHARED_GIVEN,
            statement="Models share an order of acquisition beyond what final difficulty accounts for.",
            prediction="The rank correlation of the orders of acquisition persists given the other models' final accuracy.",
            rival="What is late is simply what is never mastered well: given final accuracy, nothing common is left.",
            metric="acquisition",
            scale="partial rank correlation",
            margin=settings.shared_order_margin,
            role="descriptive",
        ),
        declare(
            EARLY,
            statement=f"Grammar is learnt in the first {settings.early_fraction:.0%} of training.",
            prediction="By then the mean accuracy above chance is most of what it is at the final checkpoint.",
            rival="Grammar improves with the loss throughout training.",
            metric="accuracy",
            scale="share of final accuracy above chance",
            margin=settings.early_share_margin,
        ),
        declare(
            SOONER,
            statement="Larger models acquire paradigms in fewer training tokens.",
            prediction=(
                "Of the paradigms that both acquire and whose order can be told, more are halfway to their final level sooner than in the "
                "smallest model."
            ),
            rival="A larger model only ends higher, and acquires more in the end; halfway to its own final accuracy it is no sooner.",
            metric="acquisition",
            scale=NET_SHARE,
            margin=settings.sooner_margin,
        ),
        declare(
            SOONER_FIXED,
            statement="Larger models reach a fixed accuracy in fewer training tokens.",
            prediction=f"Of the paradigms whose order can be told, more reach {settings.criterion:.0%} sooner than in the smallest model.",
            rival="A larger model ends higher, which alone brings any fixed level forward: compare with the halfway level.",
            metric="acquisition",
            scale=NET_SHARE,
            margin=settings.sooner_margin,
            role="descriptive",
        ),
        declare(
            FREQUENT,
            statement="Paradigms with more sentences in training are acquired earlier.",
            prediction="A planted paradigm's number of sentences correlates with how early it is acquired.",
            rival="How hard a paradigm is, not how frequent, sets its place.",
            metric="acquisition",
            scale="rank correlation",
            margin=settings.frequency_margin,
        ),
    ]
    return {claim.id: claim for claim in found}


Simulate = Callable[[np.random.Generator, float], Result]


@dataclass(frozen=True)
class Finding:
    """A result about one model, and what a simulation of its kind of data needs."""

    claim: str
    model: str
    step: int
    result: Result
    simulate: Simulate
    remark: str = ""


def reference(model: Model, models: Sequence[Model]) -> Model | None:
    """The smallest model that a model's speed is held against: on the same order if there is one; None if it is not larger than that."""
    own = [m for m in models if m.order == model.order] or list(models)
    smallest = min(own, key=lambda m: (m.parameters_non_embedding, m.name))
    return smallest if smallest.parameters_non_embedding < model.parameters_non_embedding else None


def findings(suite: Suite, settings: Any, scores: Sequence[Scores], table: pd.DataFrame) -> Iterator[Finding]:
    """Every claim about every model on one set of pairs.

    Args:
        suite: the suite. settings: the ``analyse`` settings.
        scores: of one set, branches left out. table: their rows of :func:`acquired.table`.
    """
    setting = scores[0].set
    by_name = {s.model: s for s in scores}
    models = [m for m in suite.models if m.name in by_name]
    midway, names = acquired.matrix(table, setting, "midway"), {}
    if len(midway):
        names = dict(zip(midway.index, range(len(midway)), strict=True))
    final = acquired.matrix(table, setting, "midway", "final")
    clusters = acquired.phenomena(table, midway.columns)
    for model in models:
        own = by_name[model.name]
        step = int(own.steps[-1])
        yield _early(own, settings)
        if model.name in names and len(names) >= 2:
            row = names[model.name]
            others = rank_agreement.consensus(midway.to_numpy())[row]
            hard = np.delete(final.to_numpy(), row, 0).mean(0)
            ours = midway.to_numpy()[row]
            tied = table[(table["model"] == model.name) & (table["criterion"] == "midway")]["censored"].value_counts()
            remark = (
                f"{tied.get('left', 0)} of {len(ours)} paradigms are acquired before the first checkpoint and {tied.get('right', 0)} not "
                "by the end; they count as tied."
            )
            simulate = partial(simulations.orders, ours=ours, clusters=clusters)
            yield Finding(SHARED, model.name, step, effects.agreement(ours, others, clusters), simulate, f"{remark} {SAME_PAIRS}")
            yield Finding(SHARED_GIVEN, model.name, step, effects.agreement(ours, others, clusters, hard), simulate, remark)
        small = reference(model, models)
        if small is not None and model.name in names and small.name in names:
            for claim in (SOONER, SOONER_FIXED):
                yield sooner(claim, table, setting, model.name, small.name, step)
        if model.name in names and own.paradigms["frequency"].nunique() > 1:
            frequency = own.paradigms.set_index("paradigm")["frequency"].loc[midway.columns].to_numpy(dtype=float)
            earliness = -midway.loc[model.name].to_numpy()
            simulate = partial(simulations.orders, ours=-earliness, clusters=clusters)
            yield Finding(FREQUENT, model.name, step, effects.agreement(earliness, frequency, clusters), simulate)


def _early(own: Scores, settings: Any) -> Finding:
    limit = settings.early_fraction * own.steps[-1]
    at = np.flatnonzero((own.steps > 0) & (own.steps <= limit))
    clusters = own.paradigms["phenomenon"].to_numpy()
    gains = own.accuracy - CHANCE
    early, remark = gains[0], ""
    result = Result(float("nan"), n=len(clusters), problem=f"there is no sound checkpoint after step 0 up to step {limit:.0f}")
    if len(at):
        early, remark = gains[at[-1]], f"Early is step {own.steps[at[-1]]:,} of {own.steps[-1]:,}."
        result = effects.share_early(early, gains[-1], clusters, settings.least_gain)
    simulate = partial(simulations.gains, early=early, final=gains[-1], clusters=clusters, least=settings.least_gain)
    return Finding(EARLY, own.model, int(own.steps[-1]), result, simulate, remark)


def sooner(claim: str, table: pd.DataFrame, setting: str, model: str, small: str, step: int) -> Finding:
    """Whether a model acquires paradigms in fewer tokens than a smaller one: of those whose order can be told, which is sooner.

    Halfway to the final level only paradigms that both acquire count: what the smaller one never acquires is later by what the rival
    says, that a larger model ends higher. The fixed level keeps them, which its own rival warns of.

    Halfway is where the isotonic regression crosses. The last crossing comes late where a trajectory wanders near its halfway level, as
    that of a model that ends low does, so it would make the larger one sooner where both learn at one time.
    """
    kind = "isotonic" if claim == SOONER else "fixed"
    lower, upper = (acquired.matrix(table, setting, kind, end).loc[[model, small]] for end in ("lower_tokens", "upper_tokens"))
    counted = np.isfinite(upper.to_numpy()).all(0) if claim == SOONER else np.ones(upper.shape[1], dtype=bool)
    order = timing.earlier(*(ends.loc[name].to_numpy() for name in (model, small) for ends in (lower, upper)))
    told = counted & (order != 0)
    signs, clusters = order[told].astype(float), acquired.phenomena(table, lower.columns)[told]
    absent = f"{int((~counted).sum())} that not both models acquire and " if claim == SOONER else ""
    remark = (
        f"Held against {small}. Left out of {len(told)} paradigms: {absent}{int((counted & ~told).sum())} whose order cannot be told. "
        f"Sooner (the events): {int((signs > 0).sum())}, later: {int((signs < 0).sum())}."
    )
    return Finding(claim, model, step, effects.net_share(signs, clusters), partial(simulations.signs, clusters=clusters), remark)


def decide(context: AnalysisContext, scores: Sequence[Scores], table: pd.DataFrame, found: Findings) -> None:
    """All claims about all models and sets, and what their calibration needs.

    Claims on the first set of pairs are primary, on further sets descriptive; pairs seen in training are no sample of the rule and carry no
    claim.

    Args:
        scores: of every model and set, branches left out: their early training is their parent's. table: of :func:`acquired.table`.
        found: gets the claims and calibrands.
    """
    every = declared(context.settings)
    for position, setting in enumerate(dict.fromkeys(s.set for s in scores if not s.set.endswith("-seen"))):
        if table.empty:
            continue
        own = [s for s in scores if s.set == setting]
        for finding in findings(context.suite, context.settings, own, table[table["setting"] == setting]):
            claim, result = every[finding.claim], finding.result
            role = None if position == 0 else "descriptive"
            found.claims.append(claims.row(claim, result, finding.model, finding.step, setting, role=role, caveat=finding.remark))
            if position == 0 and claim.role == "primary":
                found.calibrands += _calibrands(claim, finding)


def _calibrands(claim: Claim, finding: Finding) -> Iterator[Calibrand]:
    """The decision on simulated data; where too few events leave it inconclusive throughout, also what the interval alone would decide."""
    if not finding.result.finite:
        return
    truths, objection = simulations.truths(claim.id, claim.margin), claims.objection(finding.result)
    events = finding.result.n_events is not None
    yield Calibrand(claim, finding.model, finding.simulate, objection, truths=truths)
    if events:
        free, test = _whatever_events(finding.simulate), f"{finding.result.method}; without the rule on events"
        yield Calibrand(claim, finding.model, free, claims.objection(replace(finding.result, n_events=None)), test, truths=truths)


def _whatever_events(simulate: Simulate) -> Simulate:
    """The same samples, decided by their interval alone."""
    return lambda generator, truth: replace(simulate(generator, truth), n_events=None)
