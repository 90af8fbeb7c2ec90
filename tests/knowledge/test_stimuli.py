"""Prompts with candidates: each has one right answer, and forms are what they say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from knowledge.world import shown, stimuli_context, truth
from tokenizers import Tokenizer
from trajectories.errors import UserError
from trajectories.experiments.knowledge.settings import StimuliSettings
from trajectories.experiments.knowledge.stimuli import pararel, stimuli
from trajectories.stimuli import Stimuli


@pytest.fixture(scope="module")
def real(data_dir: Path) -> tuple[Stimuli, Tokenizer]:
    """ParaRel with Pythia's tokenizer."""
    tokenizer = Tokenizer.from_file(str(data_dir / "pythia/utils/20B_tokenizer.json"))
    context = stimuli_context(
        has_truth=False,
        tokenizer=lambda: tokenizer,
        data=lambda name: data_dir / name / "data",
        settings=StimuliSettings(relations=8, phrasings=3, arithmetic={"problems": 0}),
    )
    return stimuli(context), tokenizer


def test_every_prompt_has_one_right_answer_and_candidates_that_differ() -> None:
    shown().check()
    for _, prompt in shown().table.groupby("pair_id"):
        assert prompt["correct"].sum() == 1
        assert prompt["candidate"].is_unique
        assert 4 <= len(prompt) <= 10
        assert prompt["position"].nunique() == 1
        assert (prompt["start"] == prompt["position"] + 1).all()


def test_a_fact_is_asked_in_a_phrasing_that_training_uses_for_it_and_in_one_that_it_never_does() -> None:
    items, facts = shown().table, truth("facts").set_index("fact_id")
    own = items[items["fact_id"].isin(facts.index)].drop_duplicates("pair_id")
    seen, paraphrase = (own[own["form"] == form] for form in ("seen", "paraphrase"))
    assert set(seen["fact_id"]) == set(paraphrase["fact_id"]) == set(facts.index)
    assert (paraphrase["told"] == 0).all()
    often = seen["fact_id"].map(facts["phrasing_counts"].map(max))
    assert (seen["told"] == often).all()


def test_subjects_to_choose_from_are_told_in_reverse_all_or_none_and_have_other_objects() -> None:
    facts = truth("facts").set_index(["relation", "subject"])
    for _, prompt in shown().table.query("form == 'reversed'").groupby("pair_id"):
        own = facts.loc[[(r.relation, r.candidate) for r in prompt.itertuples()]]
        assert (own["reversed_count"] > 0).nunique() == 1
        assert (own["object"] == own["object"][prompt["correct"].to_numpy()].iloc[0]).sum() == 1


def test_exposures_are_as_many_as_the_statement_is_told() -> None:
    counted = shown().exposures.groupby("item_id").size()
    right = shown().table[shown().table["correct"]].set_index("item_id")
    assert set(counted.index) <= set(right.index)
    assert (counted.reindex(right.index).fillna(0) == right["told"]).all()


def test_a_prompt_whose_last_word_the_tokenizer_joins_with_the_answer_is_left_out() -> None:
    from trajectories.experiments.knowledge.stimuli.prompts import Prompt, items

    class Joining:
        def encode_batch(self, texts: list[str], add_special_tokens: bool) -> list[SimpleNamespace]:
            return [SimpleNamespace(ids=[len(t.replace("b c", "bc")), 5] if "b c" in t else [9] * len(t.split())) for t in texts]

    prompts = [Prompt("f", "r", "s", "seen", i, text, {"c": " c", "d": " d"}, "c") for i, text in enumerate(("a b", "a a"))]
    table, dropped = items(prompts, stimuli_context(tokenizer=Joining))
    assert dropped == 1
    assert set(table["phrasing"]) == {1}


def test_pararel_prompts_end_where_the_object_begins(real: tuple[Stimuli, Tokenizer]) -> None:
    found, tokenizer = real
    found.check()
    assert found.sources["pararel"]["licence"] == "MIT"
    for item in found.table.sample(200, random_state=0).itertuples():
        text = tokenizer.decode(item.input_ids[1:].tolist())
        assert text.endswith(f" {item.candidate}")
        assert tokenizer.decode(item.input_ids[item.start : item.end].tolist()) == f" {item.candidate}"
        assert "[X]" not in text
        assert "[Y]" not in text
        assert (item.subject if item.form != "reversed" else item.candidate) in text


def test_pararel_answers_are_right_equally_often_and_neither_given_away_nor_ambiguous(real: tuple[Stimuli, Tokenizer]) -> None:
    right = real[0].table.query("correct")
    assert right["relation"].nunique() == 8
    assert ((right["end"] - right["start"]) > 1).any()
    forward = right[right["form"] == "seen"]
    for _, relation in forward.groupby("relation"):
        assert relation["object"].value_counts().nunique() == 1
        assert relation["subject"].is_unique
    assert not any(o.lower() in s.lower() for s, o in zip(forward["subject"], forward["object"], strict=True))
    assert real[0].table.query("form == 'paraphrase'").groupby("fact_id")["phrasing"].nunique().max() == 2
    assert set(right["frequency"]) == {-1}


def test_patterns_are_taken_by_where_the_object_stands() -> None:
    forward, backward = pararel.patterns(
        ["[X] is in [Y] .", "[X] is in [Y].", "[Y] holds [X].", "[Y] is where [X] lies", "In [Y] is [X] ."]
    )
    assert forward == ["[X] is in"]
    assert backward == ["[Y] holds"]


def test_a_folder_without_pararel_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no facts and patterns of ParaRel"):
        pararel.relations(tmp_path)


def test_what_only_some_parts_have_is_filled() -> None:
    table = shown().table
    assert table["lens"].dtype == table["probe"].dtype == bool
    assert np.issubdtype(table["position"].dtype, np.integer)
    assert isinstance(table, pd.DataFrame)
    assert table.loc[table["probe"], "correct"].all()
