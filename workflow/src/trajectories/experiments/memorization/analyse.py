"""From measurements of rows and canaries to trajectories, claims, calibration and recovery."""

from __future__ import annotations

import pandas as pd

from trajectories.analysis import RECOVERY, Analysis, AnalysisContext, empty
from trajectories.experiments.memorization.findings import Calibrand, Findings
from trajectories.experiments.memorization.parts import canaries, description, order
from trajectories.experiments.memorization.run import Run, runs
from trajectories.statistics.calibration import calibrate, joined
from trajectories.statistics.claims import table

OWN = ["model", "step", "metric", "level", "group", "setting", "value", "stderr", "ci_low", "ci_high", "n", "method"]

EVERY_WINDOW = (description.analyse, order.analyse)
PRIMARY_WINDOW = (canaries.analyse,)
ACROSS_MODELS = (order.compare,)


def analyse(context: AnalysisContext) -> Analysis:
    """Every part of the analysis for every model, then those across models, then the calibration of the primary claims."""
    found = Findings()
    finals: list[Run] = []
    for run in runs(context):
        for part in EVERY_WINDOW + (PRIMARY_WINDOW if run.primary else ()):
            part(run, context, found)
        if run.primary:
            finals.append(run.last())
    for across in ACROSS_MODELS:
        across(finals, context, found)
    return Analysis(
        pd.DataFrame(found.trajectories, columns=OWN),
        table(found.claims),
        calibration(found, context),
        pd.DataFrame(found.recovery, columns=RECOVERY.names) if found.recovery else empty(RECOVERY),
        {name: pd.DataFrame(rows) for name, rows in found.extra.items()},
        found.notes,
    )


def calibration(found: Findings, context: AnalysisContext) -> pd.DataFrame:
    """Each primary claim on the sample of the largest model that allows a verdict, decided alone and in the family of all models."""
    tables = []
    names = dict.fromkeys(c.claim.id for c in found.calibrands)
    for name in names:
        candidates = [c for c in found.calibrands if c.claim.id == name]
        candidates.sort(key=lambda c: context.model(c.model).parameters_non_embedding, reverse=True)
        chosen = next((c for c in candidates if c.objection is None), None)
        if chosen is None:
            found.note(f"{name} is not calibrated, since no model allows a verdict. {candidates[0].objection}")
            continue
        tables.append(_calibrated(chosen, len(candidates), context))
        found.note(f"The calibration of {name} simulates on the sample of {chosen.model}. {chosen.note}".strip())
    return joined(tables)


def _calibrated(chosen: Calibrand, models: int, context: AnalysisContext) -> pd.DataFrame:
    n_sim = context.settings.simulations
    families = sorted({1, models} if models <= n_sim else {1})
    return calibrate(chosen.claim, chosen.simulate, n_sim=n_sim, seed=context.seed, family=families, test=chosen.test)
