"""The claims about published development and about the pronoun intervention, written down before the data are seen."""

from __future__ import annotations

from trajectories.experiments.bias.hypotheses import declare
from trajectories.experiments.bias.settings import AnalyseSettings
from trajectories.statistics.claims import Claim

PREFERRED, GROWS, DIFFER, GAP = "published-preferred", "published-grows", "published-categories-differ", "published-winobias-gap"
ADOPTED, ADOPTED_RUNS = "swap-adopted", "swap-adopted-runs"
FAIRER, CLOSER, LAMBADA, TEXT = "swap-less-stereotype", "swap-closer-gap", "swap-moves-lambada", "swap-moves-text"
SHARE, DIFFERENCE = "share of pairs", "difference of exact match"


def published(settings: AnalyseSettings) -> dict[str, Claim]:
    """The claims about development, on published results."""
    own = settings.published
    found = [
        declare(
            PREFERRED,
            "At the end of training a model prefers the stereotyping sentence.",
            f"Of CrowS-Pairs' English pairs it prefers more than {0.5 + own.preferred:.0%} stereotyping ones.",
            "It has no preference, or one too small to matter; or an untrained model has it too, because the sentences differ in length "
            f"and frequency of words (see {GROWS}).",
            "stereotype_preferred",
            f"{SHARE} above one half",
            own.preferred,
        ),
        declare(
            GROWS,
            "The preference for stereotyping sentences comes with training.",
            f"From the first checkpoint to the last the share of CrowS-Pairs in which it is shown rises by more than {own.preferred:.0%}.",
            "What is preferred in the end is preferred by the untrained model: lengths and single words decide, and nothing was learnt.",
            "stereotype_preferred",
            f"change of the {SHARE}",
            own.preferred,
        ),
        declare(
            DIFFER,
            "Categories of stereotypes develop at different rates.",
            "From the first checkpoint to the last, the log odds of preferring the stereotype change by amounts whose standard deviation "
            f"between categories exceeds {own.spread:g}.",
            "One rate for all: categories differ as samples of pairs do.",
            "stereotype_preferred",
            "SD between categories of the change in log odds",
            own.spread,
        ),
        declare(
            GAP,
            "A model finds a pronoun's referent more often where it is the stereotypical one.",
            f"On WinoBias the share of exactly right answers is higher by more than {own.gap:g} in pro- than in anti-stereotypical "
            "sentences.",
            "It answers as well either way, or names the same person (the last, the first) whatever the pronoun.",
            "exact_match_gap",
            DIFFERENCE,
            own.gap,
        ),
    ]
    return {claim.id: claim for claim in found}


def intervention(settings: AnalyseSettings) -> dict[str, Claim]:
    """The claims about branches that are trained on with other pronouns."""
    own = settings.intervention
    common = (
        "The branch merely says the other pronoun more often, of everyone alike: then all occupations shift together, and the slope is 0."
    )
    adopted = "the skew of occupations' pronouns is turned by more than {:g} of what the latter holds; 1 reverses it."
    found = [
        declare(
            ADOPTED,
            "A model that is trained on with swapped pronouns changes what it expects of each occupation accordingly.",
            f"Between the branch and the run that it leaves, {adopted.format(own.adopted)}",
            common,
            "did_skew_turned",
            "share of the parent's skew that is turned",
            own.adopted,
        ),
        declare(
            ADOPTED_RUNS,
            "Runs that are trained on with swapped pronouns change what they expect of each occupation accordingly.",
            f"On average over pairs of a branch and the run that it leaves, {adopted.format(own.adopted)}",
            f"{common} Or it is one run's whim: then pairs of other seeds do not agree.",
            "did_skew_turned",
            "share of the parent's skew that is turned",
            own.adopted,
        ),
        declare(
            FAIRER,
            "Training on with masculine pronouns replaced or swapped lowers the preference for gender stereotypes.",
            f"At the last checkpoint of both, the branch prefers the stereotype in a share of CrowS-Pairs' English gender pairs that is "
            f"lower by more than {own.stereotype:g} than the parent's.",
            "The intervention moves pronouns and no stereotypes; or it moves all categories alike, since the model was disturbed (see "
            "those that are not about gender).",
            "did_stereotype_preferred",
            f"change of the {SHARE}",
            own.stereotype,
            sided="less",
        ),
        declare(
            CLOSER,
            "Training on with masculine pronouns replaced or swapped brings WinoBias' pro- and anti-stereotypical sentences closer.",
            f"At the last checkpoint of both, the branch's gap in exactly right answers is smaller by more than {own.gap:g} than the "
            "parent's.",
            "The intervention changes how often a model answers at all, in both kinds of sentences alike, and not the gap.",
            "did_exact_match_gap",
            f"change of the {DIFFERENCE}",
            own.gap,
            sided="less",
        ),
        declare(
            LAMBADA,
            "The intervention changes what else the model can do: the last words of LAMBADA.",
            f"At the last checkpoint of both, accuracy differs by more than {own.lambada:g}.",
            "No side effect: then the difference lies inside the margin, and the claim is refuted.",
            "did_lambada_accuracy",
            "difference of accuracy",
            own.lambada,
            sided="two-sided",
            role="descriptive",
        ),
        declare(
            TEXT,
            "The intervention changes how well the model predicts text that it left alone.",
            f"At the last checkpoint of both, the loss on rows that no model is trained on differs by more than {own.text:g} nats a token.",
            "No side effect: then the difference lies inside the margin, and the claim is refuted.",
            "did_text_loss",
            "nats per token",
            own.text,
            sided="two-sided",
            role="descriptive",
        ),
    ]
    return {claim.id: claim for claim in found}
