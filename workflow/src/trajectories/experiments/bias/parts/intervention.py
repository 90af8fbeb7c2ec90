"""The pronoun intervention on planted occupations: does a branch with swapped pronouns change what it expects of each of them?

Every pair of sentences differs in a pronoun, so the swap changes them all. They are paired, item by item, at the steps of which branch and
parent both have a checkpoint. Intervals describe occupations and not runs; with at least three pairs of runs that differ in the seed alone
the runs become the unit.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias import intervention_claims as names
from trajectories.experiments.bias.differences import adoption, over_pairs, turned
from trajectories.experiments.bias.effects import mean, row
from trajectories.experiments.bias.paired_runs import Paired, endpoint, keep, paired
from trajectories.experiments.bias.parts.occupations import counted
from trajectories.experiments.bias.scores import differences, read
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import claims as decisions
from trajectories.statistics.claims import Result, objection
from trajectories.statistics.intervals import t_interval

PART = "occupations"
ITEMS = "The interval describes occupations, for this one pair of runs."


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Every branch beside its parent; nothing where no planted occupations were shown or there is no branch."""
    if not any(m.parent for m in context.suite.models) or (scores := read(context, PART)) is None:
        return
    pairs, values = differences(scores, "feminine", "masculine")
    declared = names.intervention(context.settings)
    slopes: list[tuple[Paired, float]] = []
    for pair in paired(context, scores.steps, values):
        planted = planted_change(context, pair, pairs)
        if np.ptp(planted) == 0:
            found.note(f"{pair.branch.name}: what it has read of the occupations since the branch is what its parent has read.")
            continue
        templates, clusters = pairs["setting"].to_numpy(), pairs["cluster"].to_numpy()
        for step, change, before in zip(pair.steps.tolist(), pair.change, pair.other, strict=True):
            result = adoption(change, planted, templates, clusters)
            keep(found, pair, step, "did_log_odds_slope", "all", "all occupations", result)
            keep(found, pair, step, "did_log_odds", "all", "all occupations", mean(change, pd.factorize(clusters)[0]))
            share = turned(change, before, planted, templates, clusters)
            keep(found, pair, step, "did_skew_turned", "all", "all occupations", share)
        _by_occupation(found, pair, pairs, planted)
        design = {"planted": planted, "templates": templates, "occupations": clusters}
        simulate = partial(_turning, change=pair.change[-1], before=pair.other[-1], **design)
        found.claims.append(decisions.row(declared[names.ADOPTED], share, pair.branch.name, int(pair.steps[-1]), caveat=ITEMS))
        note = "Residuals of occupations and sentences, of both runs together, are drawn anew around lines of the wanted ratio."
        found.calibrands.append(Calibrand(declared[names.ADOPTED], pair.branch.name, simulate, objection(share), note=note))
        endpoint(found, pair, "share of the parent's skew that is turned", share)
        found.recovery += recovered(context, pair, pairs, planted, result)
        slopes.append((pair, share.estimate if share.finite else float("nan")))
    if not slopes:
        return
    _over_runs(slopes, context, found)
    found.note(
        "Planted change of an occupation: the log odds of the feminine pronoun in the sentences that the branch has read since it began, "
        "less that in the sentences that its parent has read in the same steps, both counted in the orders. A shift that is common to all "
        "occupations, as when the other pronoun is said more often of everyone, is no part of the slope and stands beside it."
    )
    found.note(
        "The scale and margin of what a branch adopts were settled after a first look at the embedded suites, since a share of the planted "
        "change punished models that had learnt little: for those suites they are no prediction made beforehand."
    )


def planted_change(context: AnalysisContext, pair: Paired, pairs: pd.DataFrame) -> np.ndarray:
    """The change of each pair's log odds of the feminine pronoun in what was read between the branch and the last common step."""
    start, end = pair.branch.branch_step or 0, int(pair.steps[-1])
    odds = []
    for model in (pair.branch.name, pair.parent):
        until = counted(context, model, pairs)
        feminine, masculine = (after - before for after, before in zip(until(end), until(start), strict=True))
        odds.append(np.log((feminine + 0.5) / (masculine + 0.5)))
    return odds[0] - odds[1]


def _by_occupation(found: Findings, pair: Paired, pairs: pd.DataFrame, planted: np.ndarray) -> None:
    for name in pairs["cluster"].unique():
        mine = (pairs["cluster"] == name).to_numpy()
        result = mean(pair.change[-1][mine], np.arange(mine.sum()))
        kept = row(result)
        place = {"model": pair.branch.name, "parent": pair.parent, "step": int(pair.steps[-1]), "occupation": name}
        found.add("swapped", place | {"planted": float(planted[mine][0])} | {k: kept[k] for k in ("value", "ci_low", "ci_high", "n")})


def recovered(context: AnalysisContext, pair: Paired, pairs: pd.DataFrame, planted: np.ndarray, result: Result) -> list[dict[str, Any]]:
    """The planted effect and what the branch made of it: whether it is there, and how much of it."""
    low, high = t_interval(result.estimate, result.stderr, result.df)
    occupations = pairs["cluster"].to_numpy()
    parent = adoption(pair.other[-1], -planted, pairs["setting"].to_numpy(), occupations).estimate
    start, end = pair.branch.branch_step or 0, int(pair.steps[-1])
    alike = cumulative(context, pair, pairs, end)
    weighed = float(np.dot(alike - alike.mean(), planted - planted.mean()) / np.square(planted - planted.mean()).sum())
    place = {"model": pair.branch.name, "step": end, "n": result.n, "method": result.method}
    skewed = np.abs(planted) > 0.5
    change = pd.Series(pair.change[-1]).groupby(pairs["setting"].to_numpy()).transform(lambda c: c - c.mean()).to_numpy()
    by_name = pd.DataFrame({"change": change, "planted": planted})[skewed].groupby(occupations[skewed]).mean()
    right = np.sign(by_name["change"]) == np.sign(by_name["planted"] - planted.mean())
    return [
        place
        | {
            "parameter": "direction of the swap: its effect is there",
            "truth": 1.0,
            "estimate": float(np.sign(result.estimate)),
            "ci_low": float(np.sign(low)),
            "ci_high": float(np.sign(high)),
            "covered": bool(low > 0),
            "comment": f"Signs of the slope and of its 95 % interval's ends; {int(right.sum())} of {len(right)} skewed occupations move "
            "in the planted direction from the mean of all.",
        },
        place
        | {
            "parameter": "share of the planted change that the branch shows",
            "truth": 1.0,
            "estimate": result.estimate,
            "ci_low": low,
            "ci_high": high,
            "covered": bool(low <= 1 <= high),
            "comment": "1 is what only a model that is sure of every pronoun, and has forgotten its first "
            f"{start:,} steps, can show. The parent itself shows {2 * parent:.2f} of the same contrast (the share that it would show "
            f"reversed). Weighing all {end:,} steps alike would give {weighed:.2f} to a model that is sure, and "
            f"{2 * parent * weighed:.2f} to one as sure as the parent.",
        },
    ]


def cumulative(context: AnalysisContext, pair: Paired, pairs: pd.DataFrame, end: int) -> np.ndarray:
    """The change of each pair's log odds in all that was read by a step, from the beginning of training."""
    odds = []
    for model in (pair.branch.name, pair.parent):
        feminine, masculine = counted(context, model, pairs)(end)
        odds.append(np.log((feminine + 0.5) / (masculine + 0.5)))
    return odds[0] - odds[1]


def _turning(
    generator: np.random.Generator,
    truth: float,
    *,
    change: np.ndarray,
    before: np.ndarray,
    planted: np.ndarray,
    templates: np.ndarray,
    occupations: np.ndarray,
) -> Result:
    values = np.column_stack([change, before])
    fitted = np.array([adoption(column, planted, templates, occupations).estimate for column in values.T])
    residual = pd.DataFrame(values - np.outer(planted, fitted))
    level = residual.groupby(templates).transform("mean").to_numpy()
    rest = residual.to_numpy() - level
    code, own_names = pd.factorize(occupations)
    own = pd.DataFrame(rest).groupby(code).mean().to_numpy()
    within = rest - own[code]
    own = own * np.sqrt(len(own_names) / (len(own_names) - 2))
    within = within * np.sqrt(len(change) / max(len(change) - len(own_names) - len(np.unique(templates)), 1))
    drawn = own[generator.integers(0, len(own), len(own))][code] + within[generator.integers(0, len(within), len(within))]
    slopes = np.array([-2 * fitted[1] * truth, fitted[1]])
    found = level + np.outer(planted, slopes) + drawn
    return turned(found[:, 0], found[:, 1], planted, templates, occupations)


def _over_runs(slopes: list[tuple[Paired, float]], context: AnalysisContext, found: Findings) -> None:
    """The claim about runs: branches that differ in the seed alone."""
    claim = names.intervention(context.settings)[names.ADOPTED_RUNS]
    alike: dict[tuple[Any, ...], list[tuple[Paired, float]]] = {}
    for pair, slope in slopes:
        branch = pair.branch
        alike.setdefault((branch.layers, branch.width, branch.order, branch.schedule, branch.branch_step), []).append((pair, slope))
    for members in alike.values():
        estimates = np.array([slope for _, slope in members])
        result = over_pairs(estimates)
        first = members[0][0]
        group = "one pair of runs" if len(members) == 1 else f"{len(members)} pairs of runs"
        caveat = "The interval describes runs that differ in the seed, on these occupations." if result.finite else ""
        found.claims.append(decisions.row(claim, result, first.branch.name, int(first.steps[-1]), group, caveat=caveat))
        spread = float(np.std(estimates, ddof=1)) if len(members) > 1 else 0.0
        note = "Pairs' slopes are drawn from a normal distribution with the standard deviation of those found."
        simulate = partial(_pairs, spread=spread, pairs=len(members))
        found.calibrands.append(Calibrand(claim, first.branch.name, simulate, objection(result), note=note))


def _pairs(generator: np.random.Generator, truth: float, *, spread: float, pairs: int) -> Result:
    return over_pairs(truth + spread * generator.standard_normal(pairs))
