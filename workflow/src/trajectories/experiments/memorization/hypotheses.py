"""The claims, written down before the data are seen."""

from __future__ import annotations

from functools import partial

from scipy import special

from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.statistics.claims import Claim, Result
from trajectories.statistics.claims import declare as claim

LOG_ODDS = "log odds ratio"
SHIFT = "SD of the span's log-probability"
WITHIN = "SD of the span's log-probability among canaries alike in copies and place"
SCORED = "SD of the share of tokens reproduced"

_LATER = "Rows met later in training are more likely to be memorized."
_LIKELIER = "The later in training a row is met, the higher the probability that the model gives it."
_REPRODUCED = "The later in training a row is met, the more of its tokens free-running decoding reproduces."
_RIVAL = (
    "Recency alone: only the rows met last, which had no time to be forgotten, are remembered better; then the effect vanishes when the "
    "last {window:.0%} of the rows are set apart."
)


declare = partial(claim, "memorization")
"""A claim of this experiment: :func:`trajectories.statistics.claims.declare`."""


def claims(settings: AnalyseSettings) -> dict[str, Claim]:
    """Every claim by its id, with the margins of the configuration."""
    window = settings.recency_window
    rival = _RIVAL.format(window=window)
    among = f"Among rows seen once, the last {window:.0%} of the rows seen set apart,"
    odds, shift = settings.log_odds_margin, settings.shift_margin
    found = [
        declare(
            "late-rows-memorized",
            _LATER,
            f"{among} the odds of being memorized rise from the first to the last row by a factor above {settings.odds_ratio:g}.",
            rival,
            "slope_log_odds",
            LOG_ODDS,
            odds,
        ),
        declare(
            "late-rows-likelier",
            _LIKELIER,
            f"{among} the span's log-probability rises from the first to the last row by more than {shift:.3f} standard deviations (over "
            "these rows, of whatever content).",
            rival,
            "slope_logprob",
            SHIFT,
            shift,
        ),
        # A claim of its own, but not a co-primary one: what is decoded after a first error follows from it, so the share adds little that
        # the two above do not know, and a third primary test would give the hypothesis a third chance.
        declare(
            "late-rows-reproduced",
            _REPRODUCED,
            f"{among} the share of tokens reproduced rises from the first to the last row by more than {shift:.3f} standard deviations.",
            rival,
            "slope_score",
            SCORED,
            shift,
            role="descriptive",
        ),
        declare(
            "content-drifts",
            "Rows that come later are easier, or harder, before the model has seen any of them.",
            "Among rows not yet seen by an early checkpoint, the log-probability that it gives them moves from the first to the last place "
            f"of the order by more than {shift:.3f} standard deviations (over these rows, of whatever content), up or down.",
            "An order that was shuffled: place and content are independent, and a slope among rows seen is not one of their content.",
            "placebo_logprob",
            SHIFT,
            shift,
            sided="two-sided",
            role="descriptive",
        ),
        declare(
            "recent-rows-memorized",
            "Rows just met are more likely to be memorized than the trend over the earlier ones tells.",
            f"The odds in the last {window:.0%} of the rows seen exceed the linear trend by a factor above {settings.odds_ratio:g}.",
            "Position alone: the rows met last continue the trend.",
            "recency_log_odds",
            LOG_ODDS,
            odds,
            role="descriptive",
        ),
        declare(
            "recent-rows-likelier",
            "Rows just met are given a higher probability than the trend over the earlier ones tells.",
            f"The log-probability in the last {window:.0%} of the rows seen exceeds the trend by over {shift:.3f} standard deviations.",
            "Position alone: the rows met last continue the trend.",
            "recency_logprob",
            SHIFT,
            shift,
            role="descriptive",
        ),
        declare(
            "recent-rows-reproduced",
            "Of rows just met more tokens are reproduced than the trend over the earlier ones tells.",
            f"The share of tokens in the last {window:.0%} of the rows seen exceeds the trend by over {shift:.3f} standard deviations.",
            "Position alone: the rows met last continue the trend.",
            "recency_score",
            SCORED,
            shift,
            role="descriptive",
        ),
        declare(
            "late-canaries-memorized",
            "Canaries planted later in training are more likely to be memorized.",
            f"The odds rise from the first to the last place by a factor above {settings.odds_ratio:g}; places are random.",
            "Recency alone; randomization makes the slope causal for these runs but does not tell the two apart.",
            "slope_log_odds",
            LOG_ODDS,
            odds,
            role="descriptive",
        ),
        declare(
            "late-canaries-likelier",
            "Canaries planted later in training are given a higher probability.",
            f"The log-probability rises from the first to the last place by more than {shift:.3f} standard deviations "
            "among canaries with the same copies and place; places are random.",
            "Recency alone; randomization makes the slope causal for these runs but does not tell the two apart.",
            "slope_logprob",
            WITHIN,
            shift,
            role="descriptive",
        ),
    ]
    return {claim.id: claim for claim in found}


def undecidable(claim: Claim, result: Result, wanted: float = 0.8) -> str:
    """What a two-sided claim should add where the sample could hardly refute it, were there no effect at all; else nothing.

    Args:
        claim: as declared.
        result: an approximation by a normal or t distribution; others are not judged.
        wanted: power above which nothing is said.
    """
    if claim.sided != "two-sided" or not result.finite or result.tails is not None:
        return ""
    reach = (result.ci_high - result.ci_low) / 2
    if reach >= claim.margin:
        return (
            f"The bounds lie {reach:.3g} to either side of the estimate, so even an estimate of 0 would not rule it out: this sample can "
            "find such an effect but not exclude one."
        )
    within = (claim.margin - reach) / result.stderr
    power = float(2 * special.ndtr(within) - 1)
    return f"If there were no effect at all, that would be told from {power:.0%} of samples like this one." if power < wanted else ""
