"""The claims of the randomized trial, written down before the data are seen."""

from __future__ import annotations

from trajectories.experiments.memorization.hypotheses import LOG_ODDS, SHIFT, WITHIN, declare
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.statistics.claims import Claim


def claims(settings: AnalyseSettings) -> dict[str, Claim]:
    """Every claim of the trial by its id, with the margins of the configuration."""
    window, odds, shift = settings.recency_window, settings.log_odds_margin, settings.shift_margin
    factor, deviations = f"by a factor above {settings.odds_ratio:g}", f"by more than {shift:.3f} standard deviations"
    alike = f"{deviations} among canaries with the same copies and place"
    among = f"In each arm, among canaries whose copies all lie before the last {window:.0%} of training,"
    fresh = f"In each arm, at the first checkpoint after their last copy, at most {window:.0%} of training later,"
    recency = "Recency alone: what counts is how long ago a canary was met; at equal age its place makes no difference."
    luck = "A canary's content: then the slopes of the reversed and the straight order have opposite signs."

    def claim(name: str, statement: str, prediction: str, rival: str, metric: str, outcome: str = "canaries", **more: str) -> Claim:
        scale, margin = (LOG_ODDS, odds) if outcome == "memorized" else (WITHIN if outcome == "canaries" else SHIFT, shift)
        return declare(f"trial-{name}", statement, prediction, rival, metric, scale, margin, **more)

    found = [
        claim(
            "canaries-likelier",
            "Being planted later in training raises the probability that the final model gives a canary.",
            f"{among} the log-probability rises from the first to the last place {alike}.",
            f"{recency} {luck}",
            "trial_slope_logprob",
        ),
        claim(
            "canaries-memorized",
            "Being planted later in training makes it more likely that the final model has memorized a canary.",
            f"{among} the odds rise from the first to the last place {factor}.",
            f"{recency} {luck}",
            "trial_slope_log_odds",
            "memorized",
        ),
        claim(
            "fresh-likelier",
            "At equal age, being planted later in training raises the probability that the model gives a canary.",
            f"{fresh} the log-probability less that of never-planted canaries at the same checkpoint rises from the first to the last "
            f"place {alike}.",
            "Recency alone, which equal age removes; a falling learning rate, which the constant one removes; or the period, in which any "
            "canary is given another probability, whether it was met or not: the never-planted ones remove it as far as they shift alike.",
            "trial_fresh_slope_logprob",
        ),
        claim(
            "fresh-memorized",
            "At equal age, being planted later in training makes it more likely that the model has memorized a canary.",
            f"{fresh} the odds rise from the first to the last place {factor}.",
            "Recency alone, which equal age removes; a falling learning rate, which the constant one removes; or the period, which nothing "
            "removes from odds: never-planted canaries have none to compare with.",
            "trial_fresh_slope_log_odds",
            "memorized",
        ),
        claim(
            "rows-likelier",
            "Being met later in training raises the probability that the final model gives a natural row.",
            f"Rows seen once, outside the last {window:.0%} of both orders: half the difference between their log-probabilities in the "
            f"straight and the reversed order rises from the first to the last place {deviations} over all these rows.",
            "Content: rows that happen to stand late are easier. It cancels: a row stands at p in one order and at 1 − p in the other.",
            "trial_crossover_logprob",
            "rows",
        ),
        claim(
            "observation-differs",
            "The regression over natural rows finds another effect of the place than the trial does with the same rows and models.",
            f"The slope of the order regression in an arm differs from that of the crossover by more than {shift:.3f} standard deviations.",
            "The regression is sound: then the difference lies within the margin, and the claim is refuted.",
            "trial_observational_less_crossover",
            "rows",
            sided="two-sided",
        ),
        claim(
            "schedule-likelier",
            "The course of the learning rate changes the effect of the place.",
            f"The slope over canaries at a learning rate that falls along a cosine differs from that at a constant one {alike}.",
            "Position itself: the slope is the same whatever the learning rate does.",
            "trial_schedule_contrast",
            sided="two-sided",
            role="descriptive",
        ),
        claim(
            "order-likelier",
            "The direction of the order changes the effect of the place.",
            f"The slope over canaries in the reversed order differs from that in the straight one {alike}.",
            "Position itself: the slope is the same whichever canaries happen to stand late.",
            "trial_order_contrast",
            sided="two-sided",
            role="descriptive",
        ),
    ]
    return {c.id: c for c in found}
