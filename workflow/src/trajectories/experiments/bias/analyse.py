"""From measurements, or published results, to trajectories, claims, calibration and recovery, part by part."""

from __future__ import annotations

from collections.abc import Callable

from trajectories.analysis import Analysis, AnalysisContext
from trajectories.experiments.bias.parts import (
    intervention,
    intervention_published,
    limits,
    occupations,
    probe,
    prompts,
    published,
    relation,
    side_effects,
    stereotypes,
    winobias,
    winogender,
)
from trajectories.findings import Findings

PARTS: tuple[Callable[[AnalysisContext, Findings], None], ...] = (
    occupations.analyse,
    stereotypes.analyse,
    winobias.analyse,
    winogender.analyse,
    prompts.analyse,
    probe.analyse,
    relation.analyse,  # of the trajectories that the parts before it found
    intervention.analyse,
    side_effects.analyse,
    published.analyse,
    intervention_published.analyse,
    limits.analyse,
)


def analyse(context: AnalysisContext) -> Analysis:
    """Every part, on what the suite has for it, then the calibration of the claims."""
    found = Findings()
    for part in PARTS:
        part(context, found)
    return found.analysis(context)
