"""How measurements (or published results) of minimal pairs become trajectories, steps of acquisition, claims and recovered truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from trajectories.analysis import Analysis, AnalysisContext
from trajectories.errors import UserError
from trajectories.experiments.grammar import acquired, hypotheses, scores
from trajectories.experiments.grammar.parts import Material, curves, dimensions, likeness, order, pace, shapes, transitions
from trajectories.experiments.grammar.scores import Scores
from trajectories.findings import OWN, Findings
from trajectories.statistics import intervals

NOTES = [
    "Each sentence is scored whole after one end-of-text token; a pair is right if the grammatical sentence has the higher "
    "log-probability, and chance is 0.5.",
    "Intervals along a trajectory speak of these paradigms and are taken over pairs; claims speak of paradigms like these and are taken "
    "over phenomena.",
    "A step of acquisition is an interval between two checkpoints. What is acquired before the first checkpoint, or not by the end, is "
    "censored and kept as such. The step after which accuracy stays above its criterion is decided by the last noisy checkpoints; "
    "the criterion "
    "'isotonic' takes the crossing of the best non-decreasing curve instead.",
    "Models judge the same pairs, so the errors of two models' steps of acquisition are alike: intervals are those of each model by "
    "itself, and "
    "agreement between models is in part agreement about these pairs.",
]


PARTS = (order.analyse, curves.analyse, shapes.analyse, dimensions.analyse, transitions.analyse, likeness.analyse, pace.analyse)


def analyse(context: AnalysisContext) -> Analysis:
    """Accuracy over training, steps of acquisition, what the parts find in them, and the claims.

    Raises:
        UserError: nothing could be scored.
    """
    read = scores.from_measurements if context.published is None else scores.from_published
    every, left_out = read(context)
    if not every:
        raise UserError(f"No checkpoint of suite '{context.suite.name}' could be scored on minimal pairs: {' '.join(left_out)}")
    found = Findings(notes=list(NOTES))
    branches = [m.name for m in context.suite.models if m.parent is not None and any(s.model == m.name for s in every)]
    own = [s for s in every if s.model not in branches]
    material = Material(context, own, acquired.table(context, own))
    hypotheses.decide(context, own, material.acquisition, found)
    for part in PARTS:
        part(material, found)
    found.recovery += recovery(own)
    for sentence in left_out + _remarks(context, every, branches):
        found.note(sentence)
    result = found.analysis(context)
    spread = pd.DataFrame(found.trajectories, columns=OWN)
    result.trajectories = pd.concat([*(scores.trajectories(one) for one in every), *([spread] if len(spread) else [])], ignore_index=True)
    result.extra = {"acquisition": material.acquisition, "concordance": pd.DataFrame(), "agreement": pd.DataFrame()} | result.extra
    return result


def _remarks(context: AnalysisContext, every: Sequence[Scores], branches: Sequence[str]) -> list[str]:
    """Notes on what was left out, and on how to read what is there."""
    notes = []
    if branches:
        notes.append(
            f"{', '.join(branches)}: trained on from another model's checkpoint, so left out of the order of acquisition and of the claims."
        )
    if any(one.set == "planted" for one in every):
        notes.append("A planted rule that is not covered is one that the model has not mastered: a fact about the model, not the estimate.")
    if context.published is not None:
        notes.append("Published accuracies are known as proportions only: steps of acquisition have intervals from binomial redraws.")
    return notes


def recovery(found: Sequence[Scores]) -> list[dict[str, Any]]:
    """Planted rules against what the final checkpoints make of them.

    Every planted rule holds without exception, so one who has the rule is right on all pairs, also on pairs whose combination of words is
    never trained on (set ``planted``): the truth is 1, and it is covered if Wilson's 95 % interval of the final accuracy reaches it.
    """
    rows = []
    for one in found:
        if one.set != "planted":
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
    return rows
