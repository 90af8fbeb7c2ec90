"""Which candidate is chosen, raw and adjusted."""

from __future__ import annotations

import numpy as np
import pandas as pd
from knowledge.world import analysis_context, shown, truth
from trajectories.experiments.knowledge.scores import Asked, accuracies


def _asked() -> Asked:
    return Asked.of(shown().table.sample(frac=1, random_state=0).astype({"correct": bool}))


def test_ranks_are_those_of_a_plain_count() -> None:
    asked = _asked()
    values = np.random.default_rng(0).integers(0, 6, len(asked.items)).astype(float)
    table = asked.items.assign(value=values)
    for place, prompt in enumerate(asked.prompts["pair_id"].sample(60, random_state=1)):
        own = table[table["pair_id"] == prompt]
        right = own.loc[own["correct"], "value"].item()
        number = asked.prompts.index[asked.prompts["pair_id"] == prompt].item()
        assert asked.rank(values)[number] == 1 + (own.loc[~own["correct"], "value"] >= right).sum(), place
        assert own["value"].max() == values[asked.chosen(values)[number]]


def test_several_layers_are_ranked_as_each_by_itself() -> None:
    asked = _asked()
    values = np.random.default_rng(0).normal(size=(len(asked.items), 3))
    for function in (asked.adjusted, asked.answered, asked.rank):
        np.testing.assert_array_equal(function(values)[:, 1], function(values[:, 1]))


def test_an_answer_that_is_common_anyway_gains_nothing_by_it_when_adjusted() -> None:
    asked = _asked()
    random = np.random.default_rng(0)
    often = asked.items["correct"].groupby(asked.items["candidate"]).transform("sum")
    common = asked.items["candidate"].map(dict(zip(set(asked.items["candidate"]), random.normal(0, 5, 500), strict=False)))
    values = common.to_numpy() + 0.2 * often.to_numpy() + random.normal(0, 0.1, len(asked.items))
    right = asked.answered(asked.adjusted(values))
    assert abs(right.mean() - asked.prompts["chance"].mean()) < 0.04


def test_facts_of_one_object_that_share_a_text_do_not_make_their_candidates_usual() -> None:
    asked = _asked()
    backward = (asked.prompts["form"] == "reversed").to_numpy()
    objects = truth("facts").set_index("fact_id")["object"]
    pair = asked.items["relation"] + asked.items["fact_id"].map(objects).fillna("") + "/" + asked.items["candidate"]
    number = pd.factorize(pair)[0]
    right = []
    for seed in range(100):  # a value for each text and candidate, as a model without knowledge gives
        values = np.random.default_rng(seed).normal(size=number.max() + 1)[number]
        right.append(asked.answered(asked.adjusted(values))[backward].mean())
    chance = asked.prompts.loc[backward, "chance"].mean()
    assert abs(np.mean(right) - chance) < 3 * np.std(right) / 10


def test_a_value_that_is_missing_is_no_right_answer() -> None:
    asked = _asked()
    assert not asked.answered(np.full(len(asked.items), np.nan)).any()


def test_accuracies_tell_of_each_prompt_what_is_known() -> None:
    found = accuracies(analysis_context())
    known = found[(found["model"] == "small") & (found["step"] == 256) & (found["form"] == "seen")]
    assert known.loc[known["frequency"] == 64, "adjusted"].mean() > 0.95
    assert known.loc[known["frequency"] < 64, "adjusted"].mean() < 0.25
    assert {"raw", "rank", "greedy", "told", "chance", "subject", "relation"} <= set(found)
    assert (found["adjusted"] == (found["rank"] == 1)).all()
    assert isinstance(found, pd.DataFrame)
