"""What a user can say about the experiment ``knowledge``: three parts, each seen by one verb alone."""

from __future__ import annotations

from pydantic import Field

from trajectories.experiments.knowledge.sections import ArithmeticSettings, BenchmarkSettings, FrequencySettings
from trajectories.suites import Strict, Suite

COUNTS_TERMS = True


class StimuliSettings(Strict):
    """What is shown."""

    candidates: int = Field(10, ge=4, description="Answers to choose from (ParaRel, and subjects asked for from the object).")
    phrasings: int = Field(2, ge=2, description="Phrasings in which each fact is asked, the one for the form seen in training included.")
    relations: int = Field(20, ge=1, description="ParaRel: relations drawn at random from those with enough facts and patterns.")
    facts: int = Field(30, ge=4, description="ParaRel: facts per relation, the same number for each answer.")
    probed: int = Field(600, ge=0, description="ParaRel: facts whose hidden states are kept, for probes.")
    layers: int = Field(
        9, ge=2, description="Most layers whose hidden states the probes read, spread evenly from the embedding (0) to the last."
    )
    arithmetic: ArithmeticSettings = Field(ArithmeticSettings(), description="Few-shot arithmetic, on suites with a public tokenizer.")


class AnalyseSettings(Strict):
    """Criteria, and the smallest effects of interest, stated before looking."""

    gap_margin: float = Field(
        0.2, gt=0, lt=1, description="Smallest share of interest of the chance-corrected accuracy in the form seen that another form loses."
    )
    narrower_margin: float = Field(0.1, gt=0, lt=1, description="Smallest difference of interest between the shares that two models lose.")
    lag_margin: float = Field(
        0.25, gt=0, description="Smallest difference of interest between two times of acquisition, in doublings of training tokens."
    )
    selectivity_margin: float = Field(
        0.1, gt=0, lt=1, description="Smallest gain of interest of a probe over its control task, in chance-corrected accuracy."
    )
    least_accuracy: float = Field(
        0.1, gt=0, lt=1, description="Facts whose final chance-corrected accuracy is below this are not acquired, and have no time."
    )
    probe_checkpoints: int = Field(5, ge=2, description="Checkpoints at which probes are trained: the first, the last, and between them.")
    probe_c: float = Field(0.1, gt=0, description="Inverse strength of the probes' L2 penalty (scikit-learn's C), on standardized states.")
    draws: int = Field(1000, ge=100, description="Bootstrap resamples of subjects.")
    benchmarks: BenchmarkSettings = Field(BenchmarkSettings(), description="Published benchmarks over training.")
    frequency: FrequencySettings = Field(FrequencySettings(), description="Accuracy against how often terms occur in training.")
    simulations: int = Field(100, ge=40, description="Simulated samples per truth in the calibration of each claim.")


class FiguresSettings(Strict):
    """What the figures show."""


class Settings(Strict):
    """Facts: read off in a form seen in training (shallow), or by paraphrase, from the object, by a second hop, from layers (deep)."""

    stimuli: StimuliSettings = Field(StimuliSettings(), description="What is shown.")
    analyse: AnalyseSettings = Field(AnalyseSettings(), description="Criteria and margins of the claims.")
    figures: FiguresSettings = Field(FiguresSettings(), description="What the figures show.")


def unavailable(suite: Suite) -> str | None:
    """Why the experiment cannot run on a suite, or None."""
    if suite.published is not None and suite.published.format != "harness":
        return "the published results are lists of memorized training rows"
    return None
