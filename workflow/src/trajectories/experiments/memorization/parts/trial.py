"""The randomized trial: runs that differ in nothing but the sequence of their rows, the course of the learning rate, and the seed.

*Canaries'* places are drawn at random, so the slope of an outcome on the place is caused by it. *Natural rows* are not randomized, but a
row at place p of the straight order is at 1 − p of the reversed one: half the difference of its outcomes, regressed on p, is free of its
content. The rival, recency, is told apart in three ways: the last part of training is set apart; at a constant learning rate the place no
longer fixes the learning rate; and at equal age every canary is measured at the first checkpoint after its last copy, so that what is left
of the slope is not forgetting.

Decision rule. For every arm (order and course of the learning rate) one primary claim of each family, filed under the arm's first model
with the arm as ``group``, Holm's correction over the arms. The inference is about canaries and runs like these if every arm has at least
three runs: the variance between the runs' slopes is added to that over canaries (:mod:`trajectories.statistics.replicates`). With fewer
runs it is about canaries alone, conditional on the runs, and ``method`` says so. The order's places were drawn once, and all runs of an
order share them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.arms import Arm, Trial, cells, trials
from trajectories.experiments.memorization.effects import PLACE, Block, by_mix, effect, mix, simulation, slopes, unit
from trajectories.experiments.memorization.fresh import beside, fresh, never_planted
from trajectories.experiments.memorization.panel import PRIMARY, clusters
from trajectories.experiments.memorization.parts.canaries import CONTROLLED, LEAST_CANARIES, SCALED, UNCONTROLLED, columns, placed
from trajectories.experiments.memorization.regressions import LEAST_CLUSTERS, LOGPROB, MEMORIZED, regress
from trajectories.experiments.memorization.run import OUTCOMES, Run
from trajectories.experiments.memorization.trial_claims import claims
from trajectories.findings import Calibrand, Findings
from trajectories.statistics.claims import Claim, Result, objection, row
from trajectories.statistics.intervals import t_interval

SETTLED, WHOLE, EQUAL_AGE = "before the recency window", "recency window included", "at equal age"
"""Samples of canaries: those whose copies all lie before the recency window; all; all, each at the first checkpoint after its last copy."""
_IN_BOTH = "both orders, {schedule}"


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """Keep each canary at equal age, and what never-planted ones were given at the same checkpoints.

    They are the tables ``canaries_fresh`` and ``canaries_never``; the comparison sees the last checkpoints alone.
    """
    if any(run.model in models for models in cells(context.suite).values()):
        young, never = fresh(run), never_planted(run)
        found.add("canaries_fresh", *({"model": run.model.name} | r for r in young.to_dict("records")))
        if never is not None:
            long = never[sorted(set(young["step"]))].melt(ignore_index=False, var_name="step", value_name=LOGPROB).reset_index()
            found.add("canaries_never", *({"model": run.model.name} | r for r in long.to_dict("records")))


def compare(runs: Sequence[Run], context: AnalysisContext, found: Findings) -> None:
    """Every trial among the runs; nothing for suites whose models differ in neither order nor course of the learning rate."""
    for trial in trials(runs, context.suite):
        _canaries(trial, context, found)
        _rows(trial, context, found)
        _notes(trial, context, found)


def canary_block(arm: Arm, sample: str, outcome: str, window: float, found: Findings) -> tuple[Block, pd.Series] | None:
    """A sample of canaries in all runs of an arm, and their numbers of copies by name; None with fewer than :data:`LEAST_CANARIES`.

    At equal age the mean log-probability of never-planted canaries at the same checkpoint is subtracted, if there are enough of them.
    """
    if sample == EQUAL_AGE:
        tables = [_fresh_of(run, found) for run in arm.runs]
        keep = tables[0]["age"] <= window if len(tables[0]) else pd.Series(dtype=bool)
    else:
        tables = [placed(run) for run in arm.runs]
        keep = tables[0]["n_seen"] > 0
        if sample == SETTLED:
            keep &= tables[0]["latest"] <= 1 - window
    shared = [table.set_index("item_id") for table in tables]
    names = shared[0].index[keep.to_numpy(dtype=bool)]
    for table in shared[1:]:
        names = names[names.isin(table.index)]
    if len(names) < LEAST_CANARIES:
        return None
    x, columns_ = columns(shared[0].loc[names], outcome)
    y = np.stack([table.loc[names, outcome].to_numpy(dtype=float) for table in shared], axis=1)
    never = _never_of(arm, found) if sample == EQUAL_AGE and outcome == LOGPROB else None
    controls = None
    if never is not None:
        each = np.stack([beside(table.loc[names], own) for table, own in zip(shared, never, strict=True)])  # [runs, never planted, n]
        y, controls = y - each.mean(axis=1).T, each.mean(axis=0)
    return Block(y, x, columns_, np.zeros(len(names), int), within=True, never=controls), shared[0].loc[names, "n_seen"]


def _fresh_of(run: Run, found: Findings) -> pd.DataFrame:
    rows = [r for r in found.extra.get("canaries_fresh", []) if r["model"] == run.model.name]
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["item_id", "age", "n_seen", "place", *OUTCOMES])


def _never_of(arm: Arm, found: Findings) -> list[pd.DataFrame] | None:
    """Never-planted canaries in each run of an arm, as :func:`never_planted` returns them."""
    table = pd.DataFrame(found.extra.get("canaries_never", []), columns=["model", "item_id", "step", LOGPROB])
    own = [table[table["model"] == run.model.name].pivot(index="item_id", columns="step", values=LOGPROB) for run in arm.runs]
    return own if all(len(values) for values in own) else None


def _numbered(samples: Sequence[tuple[Block, pd.Series]]) -> list[Block]:
    """Blocks whose labels number the canaries, the same canary alike in all of them."""
    numbers = pd.factorize(np.concatenate([copies.index.to_numpy() for _, copies in samples]))[0]
    ends = np.cumsum([len(copies) for _, copies in samples])
    parts = np.split(numbers, ends[:-1])
    return [replace(block, labels=part) for (block, _), part in zip(samples, parts, strict=True)]


def _canaries(trial: Trial, context: AnalysisContext, found: Findings) -> None:
    settings = context.settings
    declared, window = claims(settings), settings.recency_window
    for sample in (SETTLED, WHOLE, EQUAL_AGE):
        claimed = {"fresh" if sample == EQUAL_AGE else "canaries": (LOGPROB, MEMORIZED)}
        for family, outcomes in claimed.items():
            for outcome in outcomes:
                claim = declared[f"trial-{family}-{'likelier' if outcome == LOGPROB else 'memorized'}"]
                samples = {arm: canary_block(arm, sample, outcome, window, found) for arm in trial.arms}
                for arm, known in samples.items():
                    blocks = _numbered([known]) if known else []
                    result = effect(outcome, blocks) if blocks else Result(math.nan, problem="fewer than 20 canaries were seen in time")
                    role = "descriptive" if sample == WHOLE else None
                    group = f"{arm.name}; {sample}" if sample == WHOLE else arm.name
                    caveat = _mixed(found, sample, arm, blocks[0], known[1]) if known and outcome == LOGPROB else ""
                    found.claims.append(row(claim, result, arm.model, arm.runs[0].final, group, role=role, caveat=caveat))
                    _keep(found, "canaries", sample, outcome, arm, result, blocks)
                    if blocks and role is None:
                        simulated = simulation(outcome, blocks, correlation=settings.cluster_correlation)
                        found.calibrands.append(Calibrand(claim, arm.model, simulated, objection(result), note=_SIMULATED))
                if outcome == LOGPROB and sample != WHOLE:
                    _contrasts(trial, samples, sample, declared, found)


def _mixed(found: Findings, sample: str, arm: Arm, block: Block, copies: pd.Series) -> str:
    """The caveats of an arm's slope of the log-probability; the slopes by copies go to the table ``trial``."""
    parts = by_mix(block, copies.to_numpy())
    for name, result in parts:
        _keep(found, "canaries", f"{sample}, {name}", LOGPROB, arm, result, [])
    return " ".join(filter(None, [mix(parts), UNCONTROLLED if sample == EQUAL_AGE and block.never is None else ""]))


_SIMULATED = (
    "Canaries, planted and never planted, are drawn with replacement, with their outcomes in all runs of an arm, and every run's slope "
    "deviates as the real ones do."
)

_ROWS_SIMULATED = "Batches and copy groups are drawn with replacement, with their rows' outcomes in all runs of both orders."


def _contrasts(
    trial: Trial, samples: dict[Arm, tuple[Block, pd.Series] | None], sample: str, declared: dict[str, Claim], found: Findings
) -> None:
    """Slope at a falling less that at a constant learning rate, over the orders; reversed less straight order, over the schedules."""
    usable = {arm: known for arm, known in samples.items() if known is not None}
    blocks = dict(zip(usable, _numbered(list(usable.values())), strict=True)) if usable else {}
    suffix = "" if sample == SETTLED else f"; {sample}"
    if {"cosine", "constant"} <= set(trial.schedules):
        directions = [d for d in (False, True) if {a.schedule for a in blocks if a.reversed == d} >= {"cosine", "constant"}]
        pairs = [(arm, 1 if arm.schedule == "cosine" else -1) for arm in blocks if arm.reversed in directions]
        _contrast(declared["trial-schedule-likelier"], pairs, blocks, f"cosine less constant{suffix}", found)
    both = [s for s in trial.schedules if len({a.reversed for a in blocks if a.schedule == s}) == 2]
    pairs = [(arm, 1 if arm.reversed else -1) for arm in blocks if arm.schedule in both]
    _contrast(declared["trial-order-likelier"], pairs, blocks, f"reversed less straight{suffix}", found)


def _contrast(claim: Claim, signed: list[tuple[Arm, int]], blocks: dict[Arm, Block], group: str, found: Findings) -> None:
    if signed:
        result = effect(LOGPROB, [blocks[arm] for arm, _ in signed], [2 * sign / len(signed) for _, sign in signed])
        first = signed[0][0]
        found.claims.append(row(claim, result, first.model, first.runs[0].final, group))


def _rows(trial: Trial, context: AnalysisContext, found: Findings) -> None:
    settings = context.settings
    declared, window = claims(settings), settings.recency_window
    for schedule in trial.schedules:
        pair = trial.both_orders(schedule)
        crossed = crossover(pair, LOGPROB, window) if pair else None
        if pair is None or crossed is None:
            continue
        first, group = pair[0], _IN_BOTH.format(schedule=schedule)
        weights = (0.5, -0.5)
        for outcome in (o for o in OUTCOMES if o in first.runs[0].outcomes):
            both = crossover(pair, outcome, window)
            assert both is not None
            result = effect(outcome if outcome == LOGPROB else "share", both, weights)
            _keep(found, "rows", "crossover", outcome, first, result, [], group)
        result = effect(LOGPROB, crossed, weights)
        claim = declared["trial-rows-likelier"]
        found.claims.append(row(claim, result, first.model, first.runs[0].final, group))
        found.calibrands.append(
            Calibrand(claim, first.model, simulation(LOGPROB, crossed, weights), objection(result), note=_ROWS_SIMULATED)
        )
        for arm in pair:
            _compared(arm, pair, crossed, declared["trial-observation-differs"], context, found)


def _compared(arm: Arm, pair: tuple[Arm, Arm], crossed: list[Block], claim: Claim, context: AnalysisContext, found: Findings) -> None:
    """The order regression in one arm, as where there is a single order, against the crossover of the same rows and models.

    The arm's canaries stand beside it in the table ``trial`` alone: they are another population, on a scale of their own.
    """
    window, final = context.settings.recency_window, arm.runs[0].final
    observed = observational(arm, pair[0], window)
    if observed is None:
        return
    _keep(found, "rows", "observational regression", LOGPROB, arm, effect(LOGPROB, [observed]), [observed])
    blocks, weights = [observed, *crossed], (1.0, -0.5, 0.5)
    result = effect(LOGPROB, blocks, weights)
    found.claims.append(row(claim, result, arm.model, final, arm.name))
    found.calibrands.append(Calibrand(claim, arm.model, simulation(LOGPROB, blocks, weights), objection(result), note=_ROWS_SIMULATED))


def _once(arm: Arm) -> pd.DataFrame:
    """Natural rows seen exactly once by an arm's models, indexed by item: the first run's panel."""
    panel = arm.runs[0].panel(arm.runs[0].final)
    return panel[panel["n_seen"] == 1].set_index("item_id", drop=False)


def _labels(arm: Arm, once: pd.DataFrame) -> pd.Series:
    """Clusters of rows seen once, from the straight order; the reversed one has the same batches and copies."""
    found = clusters(once.reset_index(drop=True), arm.runs[0].exposures, arm.runs[0].final)
    return pd.Series(found, index=once.index)


def crossover(pair: tuple[Arm, Arm], outcome: str, window: float) -> list[Block] | None:
    """Rows seen once and outside the recency window of both orders: their outcomes in either order, on their place in the straight one.

    Half the first block's slope less half the second's is the slope of half the difference of outcomes, in which a row's content cancels.
    """
    straight, turned = (_once(arm) for arm in pair)
    place = straight["latest"]
    names = straight.index[(place <= 1 - window) & straight.index.isin(turned.index[turned["latest"] <= 1 - window])]
    if len(names) < LEAST_CLUSTERS:
        return None
    labels = _labels(pair[0], straight).loc[names].to_numpy()
    x = np.column_stack([np.ones(len(names)), place.loc[names].to_numpy(dtype=float)])
    return [Block(_outcomes(arm, names, outcome), x, ("intercept", PLACE), labels) for arm in pair]


def observational(arm: Arm, straight: Arm, window: float) -> Block | None:
    """The sample and the columns of the primary order regression in the runs of an arm; labels are those of the straight order's rows."""
    first = arm.runs[0]
    panel = first.panel(first.final)
    fitted = regress(panel, first.exposures, first.final, PRIMARY, window)
    if fitted is None:
        return None
    once = _once(straight)
    names = pd.Index(panel.loc[PRIMARY.keep(panel, window).to_numpy(dtype=bool), "item_id"])
    known = names.isin(once.index)
    labels = _labels(straight, once).loc[names[known]].to_numpy()
    found = fitted[LOGPROB]
    return Block(_outcomes(arm, names[known], LOGPROB), found.x[known], found.names, labels)


def _outcomes(arm: Arm, names: pd.Index, outcome: str) -> np.ndarray:
    """[items, runs]."""
    found = [pd.Series(run.outcomes[outcome][:, -1], index=run.items["item_id"]) for run in arm.runs]
    return np.stack([values.loc[names].to_numpy(dtype=float) for values in found], axis=1)


def _keep(
    found: Findings, population: str, sample: str, outcome: str, arm: Arm, result: Result, blocks: Sequence[Block], name: str | None = None
) -> None:
    """Rows of the table ``trial``: an effect, and where it is one arm's, that of each of its runs."""
    place: dict[str, Any] = {"population": population, "sample": sample, "outcome": outcome, "arm": name or arm.name}
    low, high = t_interval(result.estimate, result.stderr, result.df)
    whole = {"model": "", "estimate": result.estimate, "stderr": result.stderr, "ci_low": low, "ci_high": high}
    found.add(
        "trial", place | whole | {"n": result.n, "n_clusters": result.n_clusters, "problem": objection(result), "method": result.method}
    )
    for block in blocks:
        scale = unit([block]) if outcome == LOGPROB else 1.0
        for run, slope in zip(arm.runs, slopes(outcome, block) / scale, strict=True):
            own = {"model": run.model.name, "estimate": float(slope), "stderr": math.nan, "ci_low": math.nan, "ci_high": math.nan}
            found.add("trial", place | own | {"n": len(block.y), "n_clusters": len(np.unique(block.labels)), "problem": None, "method": ""})


def _notes(trial: Trial, context: AnalysisContext, found: Findings) -> None:
    fewest = min(len(arm.runs) for arm in trial.arms)
    about = "canaries and runs like these" if fewest >= 3 else "canaries like these, conditional on these runs"
    found.note(
        f"The trial has {len(trial.arms)} arms of at least {fewest} runs: {'; '.join(arm.name for arm in trial.arms)}. Its inference is "
        f"about {about}; the canaries' places were drawn once, and all runs of an order share them. Claims about an arm stand under its "
        "first model."
    )
    found.note(SCALED)
    if "canaries_never" in found.extra:
        found.note(CONTROLLED)
    found.note(
        "At the last checkpoint a later place is also a younger age. Setting the last "
        f"{context.settings.recency_window:.0%} of training apart removes what is forgotten at once, not what is forgotten slowly; the "
        "claims at equal age compare canaries that were met equally long ago."
    )
