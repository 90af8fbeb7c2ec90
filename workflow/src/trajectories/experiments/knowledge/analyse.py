"""From measurements, or published results, to trajectories, claims, calibration and recovery, part by part."""

from __future__ import annotations

from collections.abc import Callable

from trajectories.analysis import Analysis, AnalysisContext
from trajectories.experiments.knowledge.parts import facts, frequency, probes, published
from trajectories.findings import Findings

PARTS: tuple[Callable[[AnalysisContext, Findings], None], ...] = (facts.analyse, probes.analyse, frequency.analyse, published.analyse)


def analyse(context: AnalysisContext) -> Analysis:
    """Every part, on what the suite has for it, then the calibration of the claims."""
    found = Findings()
    for part in PARTS:
        part(context, found)
    return found.analysis(context)
