"""From measurements of rows and canaries to trajectories, claims, calibration and recovery."""

from __future__ import annotations

from trajectories.analysis import Analysis, AnalysisContext
from trajectories.experiments.memorization.arms import cells
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
from trajectories.findings import Findings

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
    return found.analysis(context)


def _measured(context: AnalysisContext, found: Findings) -> None:
    """Every part, on rows that were measured."""
    finals: list[Run] = []
    # a trial compares whole runs of equal length; what branches off them serves other experiments
    branches = [m.name for m in context.suite.models if m.parent is not None] if cells(context.suite) else []
    if branches:
        found.note(f"{', '.join(branches)}: branches of the trial's runs, and no part of it.")
    for run in runs(context, branches):
        for part in EVERY_WINDOW + (PRIMARY_WINDOW if run.primary else ()):
            part(run, context, found)
        if run.primary:
            finals.append(run.last())
    for across in ACROSS_MODELS:
        across(finals, context, found)
