"""An embedded suite's planted facts as prompts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from trajectories.experiments.knowledge.stimuli.prompts import (
    PARAPHRASE,
    REVERSED,
    SECOND_FACT,
    SECOND_HOP,
    SEEN,
    Prompt,
    items,
    rivals,
)
from trajectories.experiments.knowledge.stimuli.terms import held, of_facts
from trajectories.stimuli import Stimuli, StimuliContext


def stimuli(context: StimuliContext) -> Stimuli:
    """Every planted fact in the phrasing that training uses most and in one that it never uses for it, from the object, and by two hops."""
    truth, second = context.truth("facts"), context.truth("second_facts")
    most = context.settings.candidates
    chosen = [*_forward(truth, context.settings.phrasings), *_reversed(truth, most, context.generator("knowledge reversed"))]
    if (second["frequency"] > 0).any():
        chosen += [*_second_hop(truth), *_second_facts(second)]
    table, _ = items(chosen, context)
    notes = [
        f"{truth['fact_id'].nunique()} planted facts about {truth['subject'].nunique()} places; each is asked in the phrasing in which "
        "training tells it most, and in one that training uses for other facts of the relation and never for this one."
    ]
    counted = of_facts(table, context.tokenizer())
    canaries = context.truth("canaries").set_index("canary_id")["input_ids"]
    names = held(counted, canaries.to_dict())
    table["canaries"] = [" ".join(names.get(pair, [])) for pair in zip(table["subject"], table["object"], strict=True)]
    return Stimuli(table, [], exposures=_exposures(context, table), notes=notes, **counted)


def _forward(truth: pd.DataFrame, phrasings: int) -> Iterator[Prompt]:
    for fact in truth.itertuples():
        counts = np.asarray(fact.phrasing_counts)
        shown = [i for i in np.argsort(-counts, kind="stable").tolist() if i != fact.held_out_phrasing]
        for phrasing in [*shown[: phrasings - 1], fact.held_out_phrasing]:
            yield Prompt(
                fact.fact_id,
                fact.relation,
                fact.subject,
                PARAPHRASE if phrasing == fact.held_out_phrasing else SEEN,
                int(phrasing),
                fact.prompts[phrasing],
                {c: f" {c}." for c in fact.candidates},
                fact.object,
                int(fact.frequency),
                int(counts[phrasing]),
                probed=True,
            )


def _reversed(truth: pd.DataFrame, most: int, random: np.random.Generator) -> Iterator[Prompt]:
    """Subjects to choose from are told from the object either all or none of them, so that being met in that place favours none."""
    for _, group in truth[truth["frequency"] > 0].groupby(["relation", truth["reversed_count"] > 0], sort=False):
        for own, fact in enumerate(group.itertuples()):
            answers = {c: f" {c}." for c in rivals(random, group, own, most)}
            if len(answers) > 1:
                words = (fact.fact_id, fact.relation, fact.subject, REVERSED, 0, fact.reversed_prompt, answers, fact.subject)
                yield Prompt(*words, int(fact.frequency), int(fact.reversed_count))


def _second_hop(truth: pd.DataFrame) -> Iterator[Prompt]:
    for fact in truth[truth["frequency"] > 0].itertuples():
        answers = {c: f" {c}." for c in fact.second_candidates}
        words = (fact.fact_id, fact.relation, fact.subject, SECOND_HOP, 0, fact.composed_prompt, answers, fact.second_object)
        yield Prompt(*words, int(fact.frequency), int(fact.composed_count))


def _second_facts(second: pd.DataFrame) -> Iterator[Prompt]:
    for fact in second.itertuples():
        phrasing = int(np.argmax(fact.phrasing_counts))
        answers = {c: f" {c}." for c in fact.candidates}
        words = (fact.fact_id, fact.relation, fact.subject, SECOND_FACT, phrasing, fact.prompts[phrasing], answers, fact.object)
        yield Prompt(*words, int(fact.frequency), int(fact.phrasing_counts[phrasing]))


def _exposures(context: StimuliContext, table: pd.DataFrame) -> pd.DataFrame:
    """When each statement is told, for the right candidate of its prompt: rows of the orders that show the corpus as it is."""
    forms = {"forward": (SEEN, PARAPHRASE), "reversed": (REVERSED,), "composed": (SECOND_HOP,), "second": (SECOND_FACT,)}
    told = context.truth("fact_exposures")
    right = table.loc[table["correct"], ["item_id", "fact_id", "form", "phrasing"]]
    parts = []
    for how, asked in forms.items():
        shown = told.loc[told["form"] == how, ["fact_id", "phrasing", "row"]]
        parts.append(right[right["form"].isin(asked)].merge(shown, on=["fact_id", "phrasing"])[["item_id", "row"]])
    found = pd.concat(parts, ignore_index=True)
    orders = []
    for name, order in context.suite.orders.items():
        if not order.held_out:
            row = context.orders[name].position(found["row"].to_numpy())
            orders.append(found.assign(order=name, row=row, step=row // context.rows_per_step[name]))
    return pd.concat(orders, ignore_index=True)[["item_id", "order", "row", "step"]]
