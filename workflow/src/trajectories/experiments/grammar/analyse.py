"""How measurements (or published results) of minimal pairs become trajectories, steps of acquisition, claims and recovered truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from trajectories.analysis import RECOVERY, Analysis, AnalysisContext, empty
from trajectories.errors import UserError
from trajectories.experiments.grammar import acquired, hypotheses, scores
from trajectories.experiments.grammar.scores import Scores
from trajectories.statistics import intervals

NOTES = [
    "Each sentence is scored whole after one end-of-text token; a pair is right if the grammatical sentence has the higher "
    "log-probability, and chance is 0.5.",
    "Intervals along a trajectory speak of these paradigms and are taken over pairs; claims speak of paradigms like these and are taken "
    "over phenomena.",
    "A step of acquisition is an interval between two checkpoints. What is acquired before the first checkpoint, or not by the end, is "
    "censored and kept as such.",
]


def analyse(context: AnalysisContext) -> Analysis:
    """Accuracy over training, steps of acquisition and the agreement of their order, and the claims.

    Raises:
        UserError: nothing could be scored.
    """
    read = scores.from_measurements if context.published is None else scores.from_published
    found, notes = read(context)
    if not found:
        raise UserError(f"No checkpoint of suite '{context.suite.name}' could be scored on minimal pairs: {' '.join(notes)}")
    acquisition = acquired.table(context, found)
    branches = [m.name for m in context.suite.models if m.parent is not None and any(s.model == m.name for s in found)]
    if branches:
        notes.append(
            f"{', '.join(branches)}: trained on from another model's checkpoint, so left out of the order of acquisition and of the claims."
        )
    own = acquisition[~acquisition["model"].isin(branches)] if len(acquisition) else acquisition
    overall, pairs = acquired.agreement(context, own) if len(own) else (pd.DataFrame(), pd.DataFrame())
    claims, calibration = hypotheses.decide(context, found, own)
    if any(one.set == "planted" for one in found):
        notes.append("A planted rule that is not covered is one that the model has not mastered: a fact about the model, not the estimate.")
    if context.published is not None:
        notes.append("Published accuracies are known as proportions only: steps of acquisition have intervals from binomial redraws.")
    return Analysis(
        trajectories=pd.concat([scores.trajectories(one) for one in found], ignore_index=True),
        claims=claims,
        calibration=calibration,
        recovery=recovery(found, branches),
        extra={"acquisition": own, "concordance": overall, "agreement": pairs},
        notes=NOTES + [_said(row) for row in overall.to_dict("records") if row["criterion"] == "midway"] + notes,
    )


def _said(row: Mapping[Any, Any]) -> str:
    """One sentence on the agreement of all models."""
    return (
        f"Set {row['setting']}: over {row['paradigms']} paradigms the orders of acquisition of {row['models']} models agree with Kendall's "
        f"W = {row['w']:.2f} (95 % from {row['ci_low']:.2f} to {row['ci_high']:.2f}; mean rank correlation of two models "
        f"{row['rho']:.2f}); {row['tied_first']:.0%} of the steps are before the first checkpoint and {row['tied_last']:.0%} after the "
        "last, counted as ties."
    )


def recovery(found: Sequence[Scores], branches: Sequence[str]) -> pd.DataFrame:
    """Planted rules against what the final checkpoints make of them.

    Every planted rule holds without exception, so one who has the rule is right on all pairs, also on pairs whose combination of words is
    never trained on (set ``planted``): the truth is 1, and it is covered if Wilson's 95 % interval of the final accuracy reaches it.
    """
    rows = []
    for one in found:
        if one.set != "planted" or one.model in branches:
            continue
        low, high = intervals.wilson(one.accuracy[-1] * one.n, one.n)
        for i, paradigm in enumerate(one.paradigms.itertuples()):
            reached = bool(high[i] >= 1 - 1e-9)
            rows.append(
                {
                    "parameter": f"rule of {paradigm.paradigm}",
                    "model": one.model,
                    "step": int(one.steps[-1]),
                    "truth": 1.0,
                    "estimate": float(one.accuracy[-1, i]),
                    "ci_low": float(low[i]),
                    "ci_high": float(high[i]),
                    "covered": reached,
                    "n": int(one.n[i]),
                    "method": "accuracy on pairs of unseen combinations, Wilson interval",
                    "comment": f"{paradigm.frequency:,} sentences in training; {'' if reached else 'not '}mastered without exception.",
                }
            )
    return pd.DataFrame(rows, columns=RECOVERY.names) if rows else empty(RECOVERY)
