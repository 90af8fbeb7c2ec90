"""The claims of the causal profiles, written down before the data are seen."""

from __future__ import annotations

from trajectories.experiments.memorization.hypotheses import SHIFT, declare
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.statistics.claims import Claim

SLOPES = {"late-cohorts-likelier": "residual", "late-cohorts-learn-more": "instantaneous", "old-cohorts-forget": "kept"}
BEFORE, DRIFT = "cohorts-differ-before", "cohorts-drift-before"


def claims(settings: AnalyseSettings) -> dict[str, Claim]:
    """The profile's claims by id. They are descriptive: they ask the primary question again, of the same rows."""
    shift = settings.shift_margin  # standard deviations over the rows as they are, of whatever content
    rows = "rows seen once" if settings.profiles.copies == "excluded" else "rows"
    among = f"Over cohorts of {rows}, those of the last {settings.recency_window:.0%} of the rows seen set apart,"
    said = {
        "late-cohorts-likelier": (
            "The later in training a row is met, the more of what its exposure did is left at the end.",
            f"{among} the residual effect of exposure rises from the first to the last row by more than {shift:.3f} standard deviations.",
            "Recency: later rows learn no more at once, but had less time to be forgotten; then the instantaneous effect does not rise.",
            "greater",
        ),
        "late-cohorts-learn-more": (
            "The later in training a row is met, the more its exposure does at once.",
            f"{among} the effect at the first checkpoint after exposure rises by more than {shift:.3f} standard deviations.",
            "The learning rate, which falls with the place: constant learning rates tell the two apart. Or the lag: checkpoints "
            "lie further apart for some cohorts, whose rows are then less fresh; a variant holds the lag fixed.",
            "greater",
        ),
        "old-cohorts-forget": (
            "What an exposure did fades, so that rows met earlier have lost more of it by the end.",
            f"{among} the residual less the instantaneous effect rises by more than {shift:.3f} standard deviations.",
            "Nothing is forgotten, or all of it at once, whatever the age.",
            "greater",
        ),
        BEFORE: (
            "Rows that will be seen already move unlike their controls before they are seen, against what the effects rest on.",
            f"The mean effect before exposure, over all cohorts, lies more than {shift:.3f} standard deviations from 0; 'refuted' "
            f"speaks for the mean effects after it. It does not speak for slopes over cohorts: for these, see {DRIFT}.",
            "Parallel trends: the order was shuffled, so rows to be seen are like rows that are not.",
            "two-sided",
        ),
        DRIFT: (
            "Rows that will be seen late already move unlike those that will be seen early, before any is seen: against what slopes over "
            "cohorts rest on.",
            f"{among} the mean effect before exposure changes by more than {shift:.3f} standard deviations from the first to the last row, "
            "up or down; 'refuted' speaks for the slopes. A drift that goes on until the end would be larger there than before exposure.",
            "Parallel trends: the order was shuffled, so rows to be seen early are like those to be seen late.",
            "two-sided",
        ),
    }
    metrics = {claim: f"slope_{what}" for claim, what in SLOPES.items()} | {BEFORE: "effect_before", DRIFT: "slope_before"}
    return {
        name: declare(name, *texts[:3], metrics[name], SHIFT, shift, sided=texts[3], role="descriptive") for name, texts in said.items()
    }
