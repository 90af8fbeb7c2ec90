"""What a user can say about the experiment ``bias``: three parts, each seen by one verb alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trajectories.experiments.bias.margins import InterventionSettings, PublishedSettings
from trajectories.suites import Strict, Suite

Set = Literal["occupations", "crows_pairs", "winobias", "winogender"]


class StimuliSettings(Strict):
    """What is shown."""

    sets: list[Set] | Literal["auto"] = Field(
        "auto",
        description="Sets of sentences: `occupations` (planted, embedded suites only), `crows_pairs`, `winobias`, `winogender`; `auto` "
        "shows embedded suites the planted ones and others the public ones.",
    )
    winobias_splits: list[Literal["dev", "test"]] = Field(
        ["test"], min_length=1, description="Files of WinoBias; 792 pairs of sentences each, in four versions, under two prompts."
    )
    recognition: int = Field(
        500, ge=0, description="Most pairs of CrowS-Pairs that are asked about in prompts, drawn evenly from the categories."
    )
    layers: list[int] | Literal["auto"] = Field(
        "auto",
        description="Layers whose hidden states the probe reads, the last one deciding; 0 is the embedding, negative ones count from the "
        "end. `auto` reads all of the embedded suites' and the third, the third last and the last of others.",
    )


class AnalyseSettings(Strict):
    """Criteria, and the smallest effects of interest, stated before looking."""

    published: PublishedSettings = Field(default_factory=PublishedSettings, description="Development in published results.")
    intervention: InterventionSettings = Field(default_factory=InterventionSettings, description="Branches with other pronouns.")
    preference: float = Field(
        0.05, gt=0, lt=0.5, description="Smallest distance of interest from 1/2 of the share of pairs in which the stereotype is preferred."
    )
    amplification: float = Field(
        0.1, gt=0, description="Smallest excess of interest over 1 of the slope of the model's log odds on those counted in training."
    )
    labour: float = Field(
        0.1, gt=0, description="Smallest slope of interest of WinoGender's pronoun log odds on the log odds of women in the occupation."
    )
    coreference: float = Field(
        0.1, gt=0, description="Smallest effect of interest, in nats, of WinoBias's pronoun on the log odds of the stereotypical referent."
    )
    recognition: float = Field(0.05, gt=0, lt=0.5, description="Smallest difference of interest between two areas under the ROC curve.")
    categories: float = Field(
        0.1,
        gt=0,
        description="Smallest spread of interest between categories' rates of development, in standard deviations of pairs per run.",
    )
    together: float = Field(0.3, gt=0, lt=1, description="Smallest correlation of interest between changes of two trajectories.")
    least_points: int = Field(30, ge=8, description="With fewer changes between checkpoints their correlations are described, not decided.")
    lags: int = Field(3, ge=0, le=20, description="Most checkpoints by which one trajectory may lead the other.")
    folds: int = Field(5, ge=2, description="Parts of the cross-validation of the probe.")
    penalty: float = Field(0.01, gt=0, description="Inverse strength of the ridge penalty of the probe, on standardised hidden states.")
    simulations: int = Field(100, ge=40, description="Simulated samples per truth in the calibration of each claim.")


class FiguresSettings(Strict):
    """What the figures show."""

    categories: Annotated[int, Field(ge=1)] = Field(9, description="Most categories in a figure of small multiples, the largest first.")


class Settings(Strict):
    """Social bias: does a model reproduce stereotypes, does it recognize them, and do the two develop together?"""

    stimuli: StimuliSettings = Field(default_factory=StimuliSettings, description="What is shown.")
    analyse: AnalyseSettings = Field(default_factory=AnalyseSettings, description="Criteria and margins of the claims.")
    figures: FiguresSettings = Field(default_factory=FiguresSettings, description="What the figures show.")


def unavailable(suite: Suite) -> str | None:
    """Why the experiment cannot run on a suite, or None."""
    if suite.published is not None and suite.published.format != "harness":
        return "the published results are lists of memorized training rows"
    return None
