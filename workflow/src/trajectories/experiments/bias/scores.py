"""Measurements of a part of the stimuli as arrays, and differences within pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.suites import Model

STEREOTYPED = {"occupations": "planted occupations", "crows_pairs": "CrowS-Pairs"}
"""Parts whose pairs have a more and a less stereotyping sentence, with their names in prose."""


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of a part's items.

    Attributes:
        items: the part's rows of the stimuli, numbered from 0.
        steps: by model its checkpoints, ascending [steps].
        logprob: by model the log-probability of each span, nats [steps, items].
    """

    items: pd.DataFrame
    steps: dict[str, np.ndarray]
    logprob: dict[str, np.ndarray]

    def at(self, by: list[str], **chosen: str) -> pd.Series:
        """Numbers of the items whose columns have the chosen values, by the columns ``by``, sorted."""
        kept = np.logical_and.reduce([self.items[name] == value for name, value in chosen.items()])
        return pd.Series(np.flatnonzero(kept), index=pd.MultiIndex.from_frame(self.items.loc[kept, by])).sort_index()


@dataclass(frozen=True)
class Pairs:
    """Pairs of sentences of which one is the more stereotyping.

    Attributes:
        set: the part.
        table: ``pair_id, category, cluster, setting, held_out``, one row per pair.
        steps: by model its checkpoints [steps].
        difference: by model log P(more) − log P(less), nats [steps, pairs].
    """

    set: str
    table: pd.DataFrame
    steps: dict[str, np.ndarray]
    difference: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        """In prose."""
        return STEREOTYPED[self.set]

    @property
    def clusters(self) -> np.ndarray:
        """Numbers of the clusters, from 0 [pairs]."""
        return pd.factorize(self.table["cluster"], sort=True)[0]


def read(context: AnalysisContext, part: str) -> Scores | None:
    """The scores of a part of the stimuli; None where it was not shown."""
    if context.stimuli is None or not (mine := context.stimuli["part"] == part).any():
        return None
    kept = mine.to_numpy()
    steps: dict[str, list[int]] = {}
    found: dict[str, list[np.ndarray]] = {}
    names = context.stimuli["item_id"].to_numpy()[kept]
    for model, step, table in context.measurements():
        mine = table[kept] if len(table) == len(kept) else table.iloc[:0]
        if not np.array_equal(mine["item_id"].to_numpy(), names):  # measured in another sequence
            mine = table.set_index("item_id").loc[names]
        steps.setdefault(model, []).append(step)
        found.setdefault(model, []).append(mine["logprob"].to_numpy())
    return Scores(
        context.stimuli[kept].reset_index(drop=True),
        {model: np.array(each) for model, each in steps.items()},
        {model: np.array(each) for model, each in found.items()},
    )


def differences(scores: Scores, plus: str, minus: str) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The pairs (rows of their ``plus`` items) and, by model, log-probability of ``plus`` less ``minus`` [steps, pairs]."""
    first, second = (scores.at(["pair_id"], variant=name) for name in (plus, minus))
    if not first.index.equals(second.index):
        raise ValueError(f"not every pair has a sentence '{plus}' and one '{minus}'")
    found = {model: values[:, first.to_numpy()] - values[:, second.to_numpy()] for model, values in scores.logprob.items()}
    return scores.items.loc[first.to_numpy()].reset_index(drop=True), found


def stereotyped(context: AnalysisContext) -> Iterator[Pairs]:
    """The pairs of each set that was shown; those of occupations that are planted without skew are left out."""
    for part in STEREOTYPED:
        scores = read(context, part)
        if scores is None:
            continue
        if part == "occupations":
            table, found = differences(scores, "feminine", "masculine")
            sign = table["category"].map({"feminine": 1.0, "masculine": -1.0}).fillna(0).to_numpy()
            kept = sign != 0
            table = table.assign(category=skews(context, table["cluster"]))
            table, found = table[kept].reset_index(drop=True), {m: (d * sign)[:, kept] for m, d in found.items()}
        else:
            table, found = differences(scores, "more", "less")
        yield Pairs(part, table[["pair_id", "category", "cluster", "setting", "held_out"]], scores.steps, found)


def skews(context: AnalysisContext, occupations: pd.Series) -> pd.Series:
    """The categories of planted occupations: the share of the pronoun that each has more often, whichever it is.

    Occupations with *she* and with *he* stand in each alike, so that what a model thinks of either pronoun cancels.
    """
    share = context.truth("occupations").set_index("occupation")["share_planned"].loc[occupations].to_numpy()
    return pd.Series([f"skewed {100 * max(s, 1 - s):.0f} to {100 * min(s, 1 - s):.0f}" for s in share], index=occupations.index)


def own_runs(context: AnalysisContext) -> list[Model]:
    """The models that are not branches of others, which a claim about development is about."""
    return [m for m in context.suite.models if m.parent is None]
