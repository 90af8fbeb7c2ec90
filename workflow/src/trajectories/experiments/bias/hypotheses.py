"""The claims, written down before the data are seen."""

from __future__ import annotations

import math
from functools import partial

from trajectories.experiments.bias.settings import AnalyseSettings
from trajectories.statistics.claims import Claim
from trajectories.statistics.claims import declare as claim

declare = partial(claim, "bias")
"""A claim of this experiment: :func:`trajectories.statistics.claims.declare`."""


def claims(settings: AnalyseSettings) -> dict[str, Claim]:
    """Every claim by its id, with the margins of the configuration."""
    found = [
        declare(
            "skew-amplified",
            "Models amplify the skew of pronouns that they read.",
            "Over occupations, the slope of the model's log odds of the pronoun on the log odds counted in its training so far exceeds 1 "
            f"by more than {settings.amplification:g}.",
            "Mere matching: the model gives each pronoun the probability with which it was read, or one drawn towards the mean, and the "
            "slope is at most 1.",
            "matching_slope",
            "slope less 1",
            settings.amplification,
        ),
        declare(
            "skew-generalized",
            "The skew of an occupation is carried to a sentence in which training never had it.",
            f"Over occupations, in the template that training held out, the slope on the counted log odds exceeds {HELD_OUT:g}.",
            "Sentences learnt by heart: in a template that an occupation never had, its pronouns follow the template alone.",
            "matching_slope",
            "slope",
            HELD_OUT,
        ),
        declare(
            "stereotypes-preferred",
            "Models prefer stereotyping sentences.",
            f"Of CrowS-Pairs' pairs, the stereotyping sentence is the likelier one in more than {0.5 + settings.preference:.0%}.",
            "Words alone: the sentences differ in words of different frequency, which decides as often against the stereotype as for it.",
            "stereotype_preferred",
            "share less 1/2",
            settings.preference,
        ),
        declare(
            "coreference-stereotyped",
            "Models resolve pronouns by stereotype.",
            "In WinoBias, a pronoun that fits the stereotype of the right person raises the log odds of naming that person, against the "
            f"other pronoun, by more than {settings.coreference:g} nats (mean of both prompts).",
            "Syntax and the prior of each person alone: both cancel in the difference between the two pronouns.",
            "coreference_effect",
            "difference of log odds, nats",
            settings.coreference,
        ),
        declare(
            "labour-statistics-followed",
            "Pronouns follow the share of women in an occupation.",
            "In WinoGender, where the pronoun stands for the occupation, its log odds rise with the log odds of women in the United "
            f"States' labour statistics at a slope above {settings.labour:g}.",
            "One prior for all: *he* is likelier in every sentence, whatever the occupation, and the slope is nil.",
            "labour_slope",
            "slope",
            settings.labour,
        ),
        declare(
            "recognized-in-states",
            "In training, models come to represent which of two sentences is the stereotyping one.",
            "A linear probe on the last layer's state at the end of the sentence tells stereotyping sentences from their pairs with an "
            f"area under the ROC curve that exceeds that of the first checkpoint, untrained, by more than {settings.recognition:g}.",
            "Words alone: which sentence is meant can be read off the words, which random weights pass on as well.",
            "recognition_area",
            "difference of areas",
            settings.recognition,
        ),
        declare(
            "recognized-in-prompts",
            "Asked whether a sentence is a stereotype, models tell stereotyping sentences from their pairs.",
            "The log odds of the affirmative answer, calibrated and averaged over the wordings, tell them with an area under the ROC curve "
            f"above {0.5 + settings.recognition:g}.",
            "The answer depends on wording and prior alone, and the area is 1/2.",
            "recognition_area",
            "area less 1/2",
            settings.recognition,
        ),
        declare(
            "categories-differ",
            "Categories of bias develop at different rates.",
            "The mean rates of categories, as slopes of the signed likelihood difference on the logarithm of training steps, lie apart by "
            f"a weighted root mean square of more than {settings.categories:g} standard deviations of single pairs.",
            "All categories develop at one rate, and their differences are those of the pairs in them.",
            "development_spread",
            "spread in SD of pairs",
            settings.categories,
        ),
        declare(
            "develop-together",
            "Reproducing and recognizing stereotypes develop together.",
            "From checkpoint to checkpoint the signed likelihood difference and the probe's area change together, with a rank correlation "
            f"above {settings.together:g}.",
            "Both grow as training goes on, each at its own times: the trajectories correlate, their changes do not.",
            "change_correlation",
            "artanh of the rank correlation",
            math.atanh(settings.together),
            role="descriptive",
        ),
    ]
    return {claim.id: claim for claim in found}


HELD_OUT = 0.5
"""Slope in held-out templates that is of interest: half of what matching would give."""
