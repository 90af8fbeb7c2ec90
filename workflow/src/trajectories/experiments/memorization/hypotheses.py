"""The claims, written down before the data are seen."""

from __future__ import annotations

from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.statistics.claims import Claim

LOG_ODDS = "log odds ratio"
SHIFT = "SD of the span's log-probability"

_LATER = "Rows met later in training are more likely to be memorized."
_LIKELIER = "The later in training a row is met, the higher the probability that the model gives it."
_RIVAL = (
    "Recency alone: only the rows met last, which had no time to be forgotten, are remembered better; then the effect vanishes when the "
    "last {window:.0%} of the rows are set apart."
)


def claims(settings: AnalyseSettings) -> dict[str, Claim]:
    """Every claim by its id, with the margins of the configuration."""
    window = settings.recency_window
    rival = _RIVAL.format(window=window)
    among = f"Among rows seen once, the last {window:.0%} of the rows seen set apart,"
    odds, shift = settings.log_odds_margin, settings.shift_margin
    found = [
        Claim(
            "late-rows-memorized",
            "memorization",
            "late-rows-memorized",
            _LATER,
            f"{among} the odds of being memorized rise from the first to the last row by a factor above {settings.odds_ratio:g}.",
            rival,
            "slope_log_odds",
            LOG_ODDS,
            odds,
        ),
        Claim(
            "late-rows-likelier",
            "memorization",
            "late-rows-likelier",
            _LIKELIER,
            f"{among} the span's log-probability rises from the first to the last row by more than {shift:.3f} standard deviations.",
            rival,
            "slope_logprob",
            SHIFT,
            shift,
        ),
        Claim(
            "recent-rows-memorized",
            "memorization",
            "recent-rows-memorized",
            "Rows just met are more likely to be memorized than the trend over the earlier ones tells.",
            f"The odds in the last {window:.0%} of the rows seen exceed the linear trend by a factor above {settings.odds_ratio:g}.",
            "Position alone: the rows met last continue the trend.",
            "recency_log_odds",
            LOG_ODDS,
            odds,
            role="descriptive",
        ),
        Claim(
            "recent-rows-likelier",
            "memorization",
            "recent-rows-likelier",
            "Rows just met are given a higher probability than the trend over the earlier ones tells.",
            f"The log-probability in the last {window:.0%} of the rows seen exceeds the trend by over {shift:.3f} standard deviations.",
            "Position alone: the rows met last continue the trend.",
            "recency_logprob",
            SHIFT,
            shift,
            role="descriptive",
        ),
        Claim(
            "late-canaries-memorized",
            "memorization",
            "late-canaries-memorized",
            "Canaries planted later in training are more likely to be memorized.",
            f"The odds rise from the first to the last place by a factor above {settings.odds_ratio:g}; places are random.",
            "Recency alone; randomization makes the slope causal for these runs but does not tell the two apart.",
            "slope_log_odds",
            LOG_ODDS,
            odds,
            role="descriptive",
        ),
        Claim(
            "late-canaries-likelier",
            "memorization",
            "late-canaries-likelier",
            "Canaries planted later in training are given a higher probability.",
            f"The log-probability rises from the first to the last place by more than {shift:.3f} standard deviations; places are random.",
            "Recency alone; randomization makes the slope causal for these runs but does not tell the two apart.",
            "slope_logprob",
            SHIFT,
            shift,
            role="descriptive",
        ),
    ]
    return {claim.id: claim for claim in found}
