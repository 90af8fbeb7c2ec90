"""The experiment's section of the configuration, and the suites that it cannot serve."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from trajectories.suites import Strict, Suite

Lengths = list[Annotated[int, Field(gt=0)]]


class StimuliSettings(Strict):
    """Which rows are shown to every checkpoint."""

    rows: int = Field(4000, ge=0, description="Rows sampled from each order that is read; orders that hold the same rows share them.")
    cases: int = Field(
        6000,
        ge=0,
        description="Further rows drawn from the table of rows known to be memorized, where the suite's order names one (`memorized`); "
        "estimates are weighted by the inverse of the probability of being drawn.",
    )
    never_seen: int = Field(800, ge=0, description="Rows that no model is trained on, where the suite has such.")
    strata: int = Field(20, gt=0, description="Equal parts of the training order; each gives as many rows, spread evenly over its batches.")
    k: Lengths = Field([32], min_length=1, description="Tokens of a row that are given; the first decides, further ones describe.")
    l: Lengths = Field(  # noqa: E741
        [32], min_length=1, description="Tokens that follow and are scored; the first decides, further ones describe."
    )
    offset: list[Annotated[int, Field(ge=0)]] = Field(
        [0], min_length=1, description="Places in the row where the given tokens begin; the first decides, further ones describe."
    )
    score: bool = Field(True, description="Decode on after the first error, for the share of tokens that free-running decoding reproduces.")
    canaries: bool = Field(True, description="Embedded suites: show also the planted canaries.")
    scan_tokens: int = Field(
        200_000_000, ge=0, description="Orders of at most so many tokens are searched whole for copies of the scored span."
    )

    @field_validator("k", "l", "offset", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, int) else value

    @field_validator("k", "l", "offset")
    @classmethod
    def _distinct(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value):
            raise ValueError("a value repeats")
        return value

    @property
    def longest(self) -> int:
        """Tokens of the longest window."""
        return max(self.k) + max(self.l)


class ProfileSettings(Strict):
    """Causal profiles: what a row's exposure does, by when it was seen and how long ago (Lesci et al. 2024)."""

    least_rows: int = Field(
        50, gt=1, description="Rows that a cohort should have; neighbouring intervals between checkpoints with fewer are joined."
    )
    least_controls: int = Field(100, gt=1, description="Effects with fewer control rows are left out.")
    copies: Literal["excluded", "first"] = Field(
        "excluded", description="Rows seen more than once are left out, or dated by the first exposure; the other way is shown beside it."
    )
    draws: int = Field(999, ge=99, description="Draws of the multiplier bootstrap.")


class OrderSettings(Strict):
    """The order regression's checks."""

    knots: int = Field(4, ge=3, le=8, description="Knots of the natural cubic spline that checks whether the trend is straight.")
    content_from: float = Field(
        0.125,
        gt=0,
        lt=0.5,
        description="Share of training by which the checkpoint lies (the last one up to there) whose log-probabilities of rows not yet "
        "seen tell how easy their content is.",
    )
    checkpoints: int = Field(24, ge=3, description="Most checkpoints in the panel of rows by checkpoints, spread evenly over training.")
    exposure_bins: int = Field(8, gt=1, description="Parts of training in which rows are grouped by their exposure step.")
    age_bins: int = Field(8, gt=1, description="Groups of the age of an exposure, each half as old as the next one.")


class ProcessSettings(Strict):
    """Whether memorized rows are a homogeneous process along the order."""

    margin: float = Field(0.1, gt=0, lt=1, description="Smallest distance of interest of the dispersion index from 1.")
    width: int = Field(5, ge=2, description="Sampled rows to a bin, where the claim is decided.")
    widths: list[Annotated[int, Field(ge=2)]] = Field(
        [2, 5, 10, 20, 50, 100, 200], description="Sampled rows to a bin in the figure over widths."
    )
    quantile_width: int = Field(100, ge=2, description="Sampled rows to a bin in the figure of quantiles.")
    lags: int = Field(20, ge=1, description="Lags of the autocorrelation, in bins of `width`.")
    trend_df: int = Field(3, ge=2, le=20, description="Coefficients of the smooth rate beyond a constant.")
    replicates: int = Field(999, ge=99, description="Replicates of each bootstrap.")


CATEGORIES = ("recite", "reconstruct", "recollect")
"""Ways to come by a memorized row."""


class TaxonomySettings(Strict):
    """How memorized rows are divided."""

    copies: int = Field(5, ge=0, description="A memorized row that its order holds more often than this is recited, whatever its text.")


class LabelSettings(Strict):
    """Above which gap between the best and the second logit a label equals the one computed in float32.

    On the embedded suite's checkpoints the gaps that half precision and float32 find differ by at most 0.04 (float16) and 0.2 (bfloat16),
    and no label differs at a gap above 0.004 and 0.04; logits of large models are larger, and their steps with them.
    """

    float32: float = Field(1e-5, ge=0, description="Gap in float32, where only the sequence of additions differs.")
    float16: float = Field(0.05, ge=0, description="Gap in float16.")
    bfloat16: float = Field(0.5, ge=0, description="Gap in bfloat16.")


class ForgettingSettings(Strict):
    """For how long memorized rows stay memorized."""

    intervals: int = Field(6, ge=1, le=50, description="Intervals of age within which the hazard of being forgotten is taken as constant.")
    replicates: int = Field(199, ge=39, description="Resamples of clusters for the intervals.")


class PredictionSettings(Strict):
    """What early checkpoints and smaller models tell of later and larger ones."""

    checkpoints: int = Field(18, ge=2, description="Most checkpoints, evenly spread, in the matrix of correlations between them.")


class PublishedSettings(Strict):
    """Analysis of published lists of memorized rows."""

    width: int = Field(1024, ge=2, description="Successive rows of the order to a bin, where the claim on the process is decided.")
    widths: list[Annotated[int, Field(ge=2)]] = Field(
        [256, 1024, 4096, 16384, 65536, 262144], description="Rows to a bin in the figure over widths."
    )
    block: int = Field(100, ge=1, description="Successive batches that make a cluster where neighbours may depend on each other.")
    knots: int = Field(6, ge=3, le=20, description="Knots of the spline that checks whether the trend is straight.")


class AnalyseSettings(Strict):
    """How the claims are tested; fixed before the data are seen."""

    odds_ratio: float = Field(1.25, gt=1, description="Smallest odds ratio of interest, last to first row seen, of being memorized.")
    shift: float | None = Field(
        None,
        gt=0,
        description="Smallest shift of interest of the span's log-probability, last to first row seen, in standard deviations over rows; "
        "if absent, the one that corresponds to `odds_ratio`: ln(OR)·√3/π (Chinn 2000).",
    )
    recency_window: float = Field(
        0.1, gt=0, lt=0.5, description="Last share of the rows seen that is set apart, to tell position from recency."
    )
    forgetting: ForgettingSettings = Field(default_factory=ForgettingSettings, description="Survival of memorized rows.")
    prediction: PredictionSettings = Field(default_factory=PredictionSettings, description="Forecasts of what is memorized.")
    published: PublishedSettings = Field(default_factory=PublishedSettings, description="Published lists of memorized rows.")
    bins: int = Field(20, gt=1, description="Parts of the training order in the figure over positions.")
    simulations: int = Field(100, ge=40, description="Simulated samples per truth in the calibration of each claim.")
    cluster_correlation: float = Field(
        0.1, ge=0, lt=1, description="Calibration: correlation, within a cluster, of the simulated tendency to be memorized."
    )

    profiles: ProfileSettings = Field(default_factory=ProfileSettings, description="Causal profiles of rows by cohort.")

    order: OrderSettings = Field(default_factory=OrderSettings, description="Checks of the order regression.")

    process: ProcessSettings = Field(default_factory=ProcessSettings, description="Memorized rows as a process along the order.")

    taxonomy: TaxonomySettings = Field(default_factory=TaxonomySettings, description="Recite, reconstruct, recollect.")
    labels: LabelSettings = Field(default_factory=LabelSettings, description="Gaps of the logits above which labels are exact.")

    @property
    def log_odds_margin(self) -> float:
        """Margin of the log odds ratio."""
        return math.log(self.odds_ratio)

    @property
    def shift_margin(self) -> float:
        """Margin of the shift of the log-probability, in standard deviations.

        A logistic model says that a latent variable with standard deviation π/√3 passes a threshold, so a log odds ratio is a shift of that
        variable by √3/π of its standard deviations (Chinn 2000, *Stat. Med.* 19, 3127).
        """
        return self.log_odds_margin * math.sqrt(3) / math.pi if self.shift is None else self.shift


class FigureSettings(Strict):
    """Nothing to choose yet."""


class Settings(Strict):
    """Training order and memorization."""

    stimuli: StimuliSettings = Field(default_factory=StimuliSettings, description="Sample of rows.")
    analyse: AnalyseSettings = Field(default_factory=AnalyseSettings, description="Margins and the recency window.")
    figures: FigureSettings = Field(default_factory=FigureSettings, description="Figures.")


def unavailable(suite: Suite) -> str | None:
    """Why the suite cannot serve this experiment, or None."""
    if suite.published is not None:
        lists = suite.published.format == "memorized-rows"
        return None if lists else "the published results are scores on tasks and hold no measurements of training rows"
    if not suite.orders:
        return "the suite's training order is not at hand"
    return None
