"""What a user can say about the experiment ``bias``: three parts, each seen by one verb alone."""

from __future__ import annotations

from pydantic import Field

from trajectories.suites import Strict, Suite

COUNTS_TERMS = True


class StimuliSettings(Strict):
    """What is shown."""


class AnalyseSettings(Strict):
    """Criteria, and the smallest effects of interest, stated before looking."""

    simulations: int = Field(100, ge=40, description="Simulated samples per truth in the calibration of each claim.")


class FiguresSettings(Strict):
    """What the figures show."""


class Settings(Strict):
    """TBD."""

    stimuli: StimuliSettings = Field(StimuliSettings(), description="What is shown.")
    analyse: AnalyseSettings = Field(AnalyseSettings(), description="Criteria and margins of the claims.")
    figures: FiguresSettings = Field(FiguresSettings(), description="What the figures show.")


def unavailable(suite: Suite) -> str | None:
    """Why the experiment cannot run on a suite, or None."""
    if suite.published is not None and suite.published.format != "harness":
        return "the published results are lists of memorized training rows"
    return None
