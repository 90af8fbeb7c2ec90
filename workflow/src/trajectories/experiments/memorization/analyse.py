"""From measurements of rows and canaries to trajectories, claims, calibration and recovery."""

from __future__ import annotations

from typing import Any

import pandas as pd

from trajectories.analysis import RECOVERY, Analysis, AnalysisContext, empty
from trajectories.experiments.memorization.findings import Calibrand, Findings
from trajectories.experiments.memorization.parts import (
    canaries,
    content,
    counts,
    description,
    exposure,
    forgetting,
    labels,
    order,
    prediction,
    process,
    profiles,
    published,
    taxonomy,
    trial,
)
from trajectories.experiments.memorization.run import Run, runs
from trajectories.statistics.calibration import EXCEEDED, KEPT, OPEN, TOLERATED, joined, power, rates, simulated
from trajectories.statistics.claims import table

OWN = ["model", "step", "metric", "level", "group", "setting", "value", "stderr", "ci_low", "ci_high", "n", "method"]
AT_MARGIN = 4
"""Times as many simulations of a primary claim where the truth equals its margin, since either verdict is wrong there."""

EVERY_WINDOW = (description.analyse, taxonomy.analyse, labels.analyse, order.analyse, content.analyse)
PRIMARY_WINDOW = (
    exposure.analyse,
    canaries.analyse,
    profiles.analyse,
    trial.analyse,
    process.analyse,
    forgetting.analyse,
    prediction.analyse,
    counts.analyse,
)
ACROSS_MODELS = (
    order.compare,
    content.compare,
    exposure.compare,
    profiles.compare,
    trial.compare,
    process.compare,
    forgetting.compare,
    prediction.compare,
    counts.compare,
)


def analyse(context: AnalysisContext) -> Analysis:
    """Every part of the analysis for every model, then those across models, then the calibration of the claims."""
    found = Findings()
    if context.rows_memorized is not None:
        published.analyse(context, found)
    else:
        _measured(context, found)
    return Analysis(
        pd.DataFrame(found.trajectories, columns=OWN),
        table(found.claims),
        calibration(found, context),
        pd.DataFrame(found.recovery, columns=RECOVERY.names) if found.recovery else empty(RECOVERY),
        {name: pd.DataFrame(rows) for name, rows in found.extra.items() if rows},
        found.notes,
    )


def _measured(context: AnalysisContext, found: Findings) -> None:
    """Every part, on rows that were measured."""
    finals: list[Run] = []
    for run in runs(context):
        for part in EVERY_WINDOW + (PRIMARY_WINDOW if run.primary else ()):
            part(run, context, found)
        if run.primary:
            finals.append(run.last())
    for across in ACROSS_MODELS:
        across(finals, context, found)


def calibration(found: Findings, context: AnalysisContext) -> pd.DataFrame:
    """Each claim, and each way in which it is tested, on the sample of the largest model that allows a verdict.

    Primary claims are decided alone and in the family of all models. The table ``power`` gets a row each.
    """
    tables = []
    for claim, test in dict.fromkeys((c.claim.id, c.test) for c in found.calibrands):
        candidates = [c for c in found.calibrands if (c.claim.id, c.test) == (claim, test)]
        candidates.sort(key=lambda c: context.model(c.model).parameters_non_embedding, reverse=True)
        chosen = next((c for c in candidates if c.objection is None), None)
        name = f"{claim} ({test})" if test else claim
        if chosen is None:
            found.note(f"{name} is not calibrated, since no model allows a verdict. {candidates[0].objection}")
            continue
        tables.append(_calibrated(chosen, len(candidates), context, found))
        if chosen.note:
            found.note(f"The calibration of {name} simulates on the sample of {chosen.model}. {chosen.note}")
    _summary(found, context)
    return joined(tables)


def _calibrated(chosen: Calibrand, models: int, context: AnalysisContext, found: Findings) -> pd.DataFrame:
    n_sim, claim = context.settings.simulations, chosen.claim
    more = AT_MARGIN if claim.role == "primary" else 1
    results = simulated(claim, chosen.simulate, n_sim=n_sim, seed=context.seed, test=chosen.test, at_margin=more)
    found.add("power", {"model": chosen.model, "role": claim.role, **power(claim, results, chosen.test)})
    families = sorted({1, models} if models <= n_sim and claim.role == "primary" else {1})
    return rates(claim, results, seed=context.seed, family=families, test=chosen.test)


def _summary(found: Findings, context: AnalysisContext) -> None:
    """Notes: which claims are shown to keep wrong verdicts rare, which exceed 5 %, which leave it open, which were not tried."""
    tried = found.extra.get("power", [])
    if not tried:
        return
    n_sim = context.settings.simulations
    found.note(
        f"Calibration: {len(tried)} claims and variants were decided on {n_sim} simulated samples for each of four true effects, primary "
        f"claims on {AT_MARGIN * n_sim} where the effect equals the margin, each on the sample of the largest model that allows a verdict."
    )
    by_level = {level: [r for r in tried if r["level"] == level] for level in (KEPT, EXCEEDED, OPEN)}
    if by_level[EXCEEDED]:
        flagged = "; ".join(f"{_named(r)} {r['rate_wrong']:.1%} ± {r['stderr_wrong']:.1%}" for r in by_level[EXCEEDED])
        found.note(f"Calibration: wrong verdicts exceed 5 % beyond Monte Carlo error in {flagged}.")
    if by_level[KEPT]:
        bound = max(r["most_wrong"] for r in by_level[KEPT])
        found.note(
            f"Calibration: for {len(by_level[KEPT])} of {len(tried)} wrong verdicts are shown to be at most {bound:.1%} (95 % bound)."
        )
    if by_level[OPEN]:
        listed = "; ".join(f"{_named(r)} {r['rate_wrong']:.1%}, at most {r['most_wrong']:.1%}" for r in by_level[OPEN])
        found.note(
            f"Calibration: for {len(by_level[OPEN])} of {len(tried)} it is not told whether wrong verdicts stay below {TOLERATED:.1%}; the "
            f"rate found and its 95 % upper bound: {listed}."
        )
    left = {row["claim"].id for row in found.claims if row["role"] == "primary"} - {r["claim"] for r in tried}
    if left:
        found.note(f"Calibration: these primary claims were not tried on simulated samples: {', '.join(sorted(left))}.")


def _named(tried: dict[str, Any]) -> str:
    return f"{tried['claim']} ({tried['test']})"
