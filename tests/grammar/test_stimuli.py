"""Which sentences are shown, and how they are scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from grammar.small import truth
from trajectories.errors import UserError
from trajectories.experiments.grammar import stimuli as module
from trajectories.experiments.grammar.scores import blimp_facts
from trajectories.experiments.grammar.stimuli import blimp, stimuli
from trajectories.stimuli import StimuliContext

Make = Callable[..., StimuliContext]


def test_each_sentence_is_scored_whole_after_one_end_of_text_token(stimuli_context: Make) -> None:
    found = stimuli(stimuli_context(truth(4)))
    found.check()
    first = found.table.iloc[0]
    assert next(iter(first["input_ids"])) == 0
    assert (first["start"], first["end"], len(first["input_ids"])) == (1, 3, 3)
    assert [m.as_json() for m in found.measures] == [{"name": "logprob", "options": {}}]
    assert found.exposures.empty


def test_the_good_and_the_bad_sentence_of_a_pair_share_its_id(stimuli_context: Make) -> None:
    table = stimuli(stimuli_context(truth(4))).table
    assert table.groupby("pair_id")["variant"].agg(list).map(tuple).unique().tolist() == [("good", "bad")]
    assert len(table) == 2 * 12 * 4


def test_pairs_seen_in_training_are_a_set_of_their_own(stimuli_context: Make) -> None:
    table = stimuli(stimuli_context(truth(4))).table
    assert table.groupby("set")["seen"].unique().map(list).to_dict() == {"planted": [False], "planted-seen": [True]}


def test_so_many_pairs_of_each_paradigm_are_drawn_the_same_ones_each_time(stimuli_context: Make) -> None:
    one, other = (stimuli(stimuli_context(truth(20), pairs=3)).table for _ in range(2))
    assert one.equals(other)
    assert (one.groupby(["set", "paradigm"])["pair_id"].nunique() == 3).all()
    assert not stimuli(stimuli_context(truth(20), pairs=3, leading_space=True)).table.empty


def test_planted_pairs_cannot_be_asked_of_a_suite_without_planted_truth(stimuli_context: Make) -> None:
    with pytest.raises(UserError, match="no planted paradigms"):
        stimuli(stimuli_context(None, sets=["planted"]))


def test_a_suite_without_planted_truth_gets_blimp(stimuli_context: Make, data_dir: Path) -> None:
    found = stimuli(stimuli_context(None, data_dir / "blimp" / "data", pairs=5))
    assert found.table["set"].unique().tolist() == ["blimp"]
    assert len(found.table) == 2 * 5 * 67
    assert set(found.sources["blimp"]) >= {"licence", "citation", "sha256"}


def test_blimp_is_read_whole_and_its_facts_are_those_of_the_package(data_dir: Path) -> None:
    pairs = blimp(data_dir / "blimp" / "data")
    assert (pairs["paradigm"].value_counts() == 1000).all()
    facts = pairs[["paradigm", "phenomenon", "field"]].drop_duplicates().reset_index(drop=True)
    assert facts.equals(blimp_facts())
    assert facts["phenomenon"].nunique() == 13
    assert set(facts["field"]) == {"morphology", "semantics", "syntax", "syntax_semantics"}


def test_pairs_of_identical_sentences_are_named(stimuli_context: Make, data_dir: Path) -> None:
    assert stimuli(stimuli_context(None, data_dir / "blimp" / "data", ngrams=0)).notes == [
        "7 of 67,000 pairs consist of two identical sentences (passive_1, principle_A_case_2); they count as right, as they do in "
        "lm-evaluation-harness since 0.4."
    ]


def test_ngram_models_of_an_order_at_hand_score_every_sentence(stimuli_context: Make) -> None:
    class Order:
        row_tokens = 12

        def __len__(self) -> int:
            return 30

        def __getitem__(self, rows: slice) -> np.ndarray:
            return np.random.default_rng(2).integers(0, 40, (30, 12))[rows]

    plain = stimuli_context(truth(4), ngrams=3)
    found = stimuli(replace(plain, orders={"standard": Order()}))  # type: ignore[dict-item]
    columns = [f"logprob_{n}gram" for n in (1, 2, 3)]
    assert (found.table[columns] < 0).all(axis=None)
    assert "counted on 360 of 360 tokens of order 'standard'" in found.notes[-1]
    without = stimuli(plain)
    assert not set(columns) & set(without.table)
    assert without.notes[-1].startswith("No n-gram models")


def test_a_file_that_is_not_blimps_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"UID": "x"}) + "\n")
    with pytest.raises(UserError, match=r"x\.jsonl' is not a file of BLiMP"):
        blimp(tmp_path)
    with pytest.raises(UserError, match="No BLiMP file"):
        module.files(tmp_path / "nowhere")
