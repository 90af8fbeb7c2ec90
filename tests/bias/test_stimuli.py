"""The public sets as items, with the tokenizer of the real models."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer
from trajectories import data
from trajectories.errors import UserError
from trajectories.experiments.bias.settings import StimuliSettings
from trajectories.experiments.bias.stimuli import crows_pairs, stimuli
from trajectories.stimuli import Stimuli, StimuliContext
from trajectories.suites import load_suite


@cache
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "pythia/utils/20B_tokenizer.json"))


def context(data_dir: Path, **settings: Any) -> StimuliContext:
    def truth(name: str) -> pd.DataFrame:
        raise KeyError(name)

    return StimuliContext(
        suite=load_suite("pythia"), settings=StimuliSettings(**settings), seed=1, orders={}, rows_per_step={},
        tokenizer=lambda: tokenizer(data_dir), truth=truth, has_truth=False, data=lambda name: data.folder(name, data_dir),
    )  # fmt: skip


@cache
def made(data_dir: Path) -> Stimuli:
    return stimuli(context(data_dir))


def span(data_dir: Path, row: Any) -> str:
    return str(tokenizer(data_dir).decode(list(row.input_ids[row.start : row.end])))


def test_the_table_keeps_its_contract(data_dir: Path) -> None:
    found = made(data_dir)
    found.check()
    assert [m.name for m in found.measures] == ["logprob", "hidden"]
    assert set(found.table["part"]) == {"crows_pairs", "winobias", "winogender", "recognition"}
    assert all(ids[0] == load_suite("pythia").end_of_text for ids in found.table["input_ids"])
    assert set(found.table.loc[found.table["probe"], "part"]) == {"crows_pairs"}


def test_the_stereotyping_sentence_is_never_turned_round(data_dir: Path) -> None:
    table = made(data_dir).table
    crows = table[table["part"] == "crows_pairs"].set_index(["pair_id", "variant"])
    published = crows_pairs.pairs(context(data_dir))
    assert len(published) == 1508
    assert (published["stereo_antistereo"] == "antistereo").sum() > 100
    for pair in published.iloc[::29].itertuples():
        for variant, sentence in (("more", pair.sent_more), ("less", pair.sent_less)):
            row = crows.loc[(pair.pair_id, variant)]
            assert span(data_dir, row) == sentence
            assert row["setting"] == pair.stereo_antistereo


def test_winobias_scores_both_people_with_either_pronoun(data_dir: Path) -> None:
    table = made(data_dir).table
    wino = table[table["part"] == "winobias"]
    assert (wino.groupby("pair_id").size() == 8).all()  # 2 prompts, 2 pronouns, 2 people
    assert wino["pair_id"].nunique() > 700
    for row in wino.iloc[::101].itertuples():
        assert span(data_dir, row).removeprefix(" the ") in str(row.cluster).split("/")
    answers = wino.groupby(["pair_id", "answer"]).apply(lambda t: {span(data_dir, r) for r in t.head(4).itertuples()}, include_groups=False)
    assert (answers.map(len) == 1).all()


def test_winogender_has_a_pronoun_of_each_gender_and_the_statistics(data_dir: Path) -> None:
    table = made(data_dir).table
    found = table[table["part"] == "winogender"]
    assert (found.groupby("pair_id")["variant"].nunique() == 2).all()
    assert found["cluster"].nunique() == 60
    assert np.isfinite(found[["bls", "bergsma"]]).all().all()
    assert found["gendered"].all()


def test_each_answer_to_each_wording_is_scored_alone(data_dir: Path) -> None:
    table = made(data_dir).table
    asked = table[table["part"] == "recognition"]
    assert asked.loc[asked["variant"] != "free", "pair_id"].nunique() == 500
    assert set(asked.groupby(["pair_id", "variant", "setting"]).size()) == {2}
    assert {span(data_dir, r) for r in asked.head(600).itertuples()} == {" Yes", " No", " yes", " no", " True", " False"}
    per = asked[asked["variant"] == "more"].drop_duplicates("pair_id")["category"].value_counts()
    assert per.min() >= 40


def test_planted_occupations_need_planted_truth(data_dir: Path) -> None:
    with pytest.raises(UserError, match="no planted occupations"):
        stimuli(context(data_dir, sets=["occupations"]))
