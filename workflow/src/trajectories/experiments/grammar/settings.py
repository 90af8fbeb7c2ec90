"""What a user can say about the experiment ``grammar``: three parts, each seen by one verb alone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trajectories.suites import Strict, Suite

SetName = Literal["planted", "blimp"]


class StimuliSettings(Strict):
    """Which minimal pairs are shown."""

    sets: Literal["auto"] | list[SetName] = Field(
        "auto",
        description="Sets of minimal pairs: `planted`, `blimp` or both; `auto` takes the planted ones where there are any, else BLiMP.",
    )
    leading_space: bool = Field(
        False,
        description="A space before each sentence, as in lm-evaluation-harness since 0.4; earlier ones (published v0 results) have none.",
    )
    pairs: int | None = Field(None, ge=2, description="Most pairs per paradigm, drawn at random; all of them if absent (BLiMP: 1,000).")
    ngrams: int = Field(
        5, ge=0, le=7, description="Longest n-gram whose model, counted on the training order, scores the sentences too; 0: none."
    )
    ngram_tokens: int = Field(
        20_000_000, ge=1, description="Most tokens of the order, from its start, that n-grams are counted in; only orders on this machine."
    )


class AnalyseSettings(Strict):
    """What counts as acquired, and the smallest effects of interest, stated before looking."""

    criterion: float = Field(0.75, gt=0.5, lt=1, description="The fixed accuracy beyond which a paradigm counts as acquired.")
    least_gain: float = Field(
        0.1, gt=0, lt=0.5, description="A paradigm whose final accuracy is less than this above chance is not acquired."
    )
    final_checkpoints: int = Field(3, ge=1, description="How many last checkpoints make up the final accuracy (at most a quarter of all).")
    draws: int = Field(1000, ge=100, description="Resamples for the interval of a step of acquisition.")
    permutations: int = Field(2000, ge=100, description="Permutations for the tests of agreement.")
    shared_order_margin: float = Field(
        0.3, gt=0, lt=1, description="Smallest rank correlation of interest between a model's order of acquisition and the other models'."
    )
    early_fraction: float = Field(0.1, gt=0, lt=1, description="The part of training that counts as early.")
    early_share_margin: float = Field(
        0.8, gt=0, description="Smallest share of the final accuracy above chance, reached early, that says `learnt early`."
    )
    sooner_margin: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Smallest net share of interest: sooner than in the smallest model less later, of paradigms whose order can be told.",
    )
    frequency_margin: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Planted paradigms: smallest rank correlation of interest between frequency and earliness of acquisition.",
    )
    same_tokens_factor: float = Field(
        1.5, gt=1, description="Smallest factor of interest between the tokens that two sizes need to acquire a paradigm."
    )
    early_difference_margin: float = Field(
        0.1, gt=0, lt=0.4, description="Smallest difference of interest between the shares of paradigms that two sizes acquire early."
    )
    ngram_order: int = Field(2, ge=1, le=7, description="The n-gram model that early models are claimed to decide like.")
    ngram_margin: float = Field(
        0.1, gt=0, lt=1, description="Smallest fall of interest in agreement (kappa) with that n-gram model, from early to the end."
    )
    least_drop: float = Field(0.05, gt=0, lt=0.5, description="Smallest fall of accuracy that is named as unlearning or a U-shape.")
    transition_penalty: float = Field(2.0, gt=0, description="Penalty of a change point, in ln(number of checkpoints), on squared z.")
    smooth_rise: float = Field(
        1 / 3, gt=0, lt=1, description="A rise that takes at least this share of the axis (log tokens, tokens) is smooth, no transition."
    )
    transition_share: float = Field(
        0.25, gt=0, lt=1, description="Smallest change between neighbouring checkpoints that is a transition, as a share of the range."
    )
    simulations: int = Field(240, ge=20, description="Simulated samples per truth in the calibration of each claim.")


class FiguresSettings(Strict):
    """What the figures show."""

    sets: int = Field(2, ge=1, description="Draw so many sets of pairs at most.")


class Settings(Strict):
    """Minimal pairs: accuracy over training, steps of acquisition, agreement of their order between models."""

    stimuli: StimuliSettings = Field(StimuliSettings(), description="Which minimal pairs are shown.")
    analyse: AnalyseSettings = Field(AnalyseSettings(), description="Criteria of acquisition and margins of the claims.")
    figures: FiguresSettings = Field(FiguresSettings(), description="What the figures show.")


def unavailable(suite: Suite) -> str | None:
    """Why the experiment cannot run on a suite, or None: it needs checkpoints, or published results on BLiMP."""
    if suite.published is not None and suite.published.format != "harness":
        return "the published results are lists of memorized training rows and hold no minimal pairs"
    if suite.published is not None and not any(task.startswith("blimp_") for task in suite.published.tasks):
        return "the published results have none on BLiMP"
    return None
