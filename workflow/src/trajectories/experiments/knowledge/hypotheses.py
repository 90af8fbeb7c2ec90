"""The claims, written down before the data are seen."""

from __future__ import annotations

from functools import partial

from trajectories.experiments.knowledge.effects import DOUBLINGS, SHARE
from trajectories.experiments.knowledge.settings import AnalyseSettings
from trajectories.statistics.claims import Claim
from trajectories.statistics.claims import declare as claim

CORRECTED = "chance-corrected accuracy"


declare = partial(claim, "knowledge")
"""A claim of this experiment: :func:`trajectories.statistics.claims.declare`."""


def claims(settings: AnalyseSettings) -> dict[str, Claim]:
    """Every claim by its id, with the margins of the configuration."""
    share, lag = settings.gap_margin, settings.lag_margin
    found = [
        declare(
            "paraphrase-loses",
            "A fact that the model gives in a form seen in training is often not given when asked in other words.",
            f"Of the chance-corrected accuracy in the form seen, more than {share:.0%} is missing in the paraphrase.",
            "What is learnt is the fact, not a string: then both forms are answered alike. Adjusted ranks remove what an answer gains by "
            "being common, which would make the forms alike or unlike whatever the fact.",
            "share_lost_paraphrase",
            SHARE,
            share,
        ),
        declare(
            "reversal-loses",
            "A fact met only from the subject to the object is not given from the object to the subject.",
            f"Of the chance-corrected accuracy in the form seen, more than {share:.0%} is missing from the object, though that form of "
            "question is known.",
            "The question's form is the obstacle: then facts that were also told from the object fare no better (see their accuracy).",
            "share_lost_reversed",
            SHARE,
            share,
            role="descriptive",
        ),
        declare(
            "second-hop-loses",
            "Two facts that the model gives one by one are often not composed.",
            f"Of facts given together with their object's own fact (corrected for chance), more than {share:.0%} is missing where the "
            "second is asked of the first's subject, which training never states.",
            "The question's form is the obstacle: then composed facts that were told directly fare no better (see their accuracy).",
            "share_lost_second_hop",
            SHARE,
            share,
            role="descriptive",
        ),
        declare(
            "paraphrase-later",
            "What is given in other words is given later in training than in the form seen.",
            f"The paraphrase reaches half its final level more than {lag:g} doublings of training after the form seen has reached half of "
            "its own.",
            "One thing is learnt, at one time, and the paraphrase only ends lower: then both are halfway at the same step.",
            "lag_paraphrase",
            DOUBLINGS,
            lag,
            role="descriptive",
        ),
        declare(
            "decodable-first",
            "A fact can be read from an intermediate layer before the model gives it.",
            f"A layer chosen on other facts, read by the logit lens, reaches half of the output's final level more than {lag:g} doublings "
            "of training before the output does, on the same candidates.",
            "Layers are read worse than the output, or come with it: the logit lens reads a layer as if it were the last, so a lag may be "
            "the lens's; only a lead says something about the model.",
            "lag_lens",
            DOUBLINGS,
            lag,
            sided="less",
            role="descriptive",
        ),
        declare(
            "probe-generalizes",
            "A linear probe finds a fact's object in the hidden state at the end of the prompt, for facts that it was not trained on.",
            f"Its chance-corrected accuracy exceeds that of its control task by more than {settings.selectivity_margin:g}.",
            "The probe learns by itself: then it does as well where objects are dealt anew among facts (Hewitt and Liang 2019). What the "
            "prompt's words give away is in the state before training, too, and in the probe at step 0.",
            "probe_selectivity",
            CORRECTED,
            settings.selectivity_margin,
            role="descriptive",
        ),
        declare(
            "larger-loses-less",
            "A larger model loses less of what it gives when asked in other words.",
            f"The share missing in the paraphrase is smaller by more than {settings.narrower_margin:g} than in the smallest model.",
            "Size helps to know more facts, not to know them more deeply: then the share is the same.",
            "difference_share_lost",
            SHARE,
            settings.narrower_margin,
            sided="less",
            role="descriptive",
        ),
    ]
    return {claim.id: claim for claim in found}
