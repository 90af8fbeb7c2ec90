"""Planted strings are found in the training order exactly as often as the truth says, up to every step."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from trajectories.nano.corpus import Corpus
from trajectories.nano.settings import Training
from trajectories.orders import RowReader, open_order
from trajectories.orders.counting import count
from trajectories.orders.terms import Terms
from trajectories.orders.writer import write_order

STEPS = [0, 1, 7, 30, 59, 60]
FEMININE = ("she", "her", "herself")
MASCULINE = ("he", "him", "his", "himself")


@pytest.fixture(scope="module")
def order(corpus: Corpus, training: Training, tmp_path_factory: pytest.TempPathFactory) -> RowReader:
    folder = tmp_path_factory.mktemp("order")
    write_order(folder, "standard", corpus.packed.rows, training.rows_per_step, training.shard_bytes)
    return open_order(folder)


def tokens(corpus: Corpus, *texts: str) -> list[list[int]]:
    return [corpus.tokenizer.encode(text).ids for text in texts]


def counted(order: RowReader, sequences: dict[str, list[list[int]]], pairs: list[tuple[str, str]] | None = None) -> pd.DataFrame:
    """Cumulative counts, a row per step of :data:`STEPS` and a column per term or pair."""
    terms = Terms(sequences, pairs or [], end_of_text=0)
    found = count(order, terms, STEPS, 10**9, np.random.default_rng(0))
    assert not found.stderr.any()
    return pd.DataFrame(found.count, index=STEPS, columns=pd.Index([*terms.names, *terms.pairs], tupleize_cols=False))


def below(exposures: pd.DataFrame, step: int, of: str) -> pd.Series:
    return exposures.loc[exposures["step"] < step, of].value_counts()


def test_facts_are_found_as_often_as_they_were_planted(corpus: Corpus, order: RowReader) -> None:
    facts, exposures = corpus.truth["facts"], corpus.truth["fact_exposures"]
    found = counted(order, {f.fact_id: tokens(corpus, *(prompt + f.answer for prompt in f.prompts)) for f in facts.itertuples()})
    for step in STEPS:
        expected = below(exposures, step, "fact_id").reindex(facts["fact_id"], fill_value=0)
        assert found.loc[step].tolist() == expected.tolist(), step
    assert found.loc[STEPS[-1]].tolist() == facts["frequency"].tolist()


def test_subjects_meet_their_objects_in_as_many_documents_as_the_truth_says(corpus: Corpus, order: RowReader) -> None:
    facts = corpus.truth["facts"]
    words = sorted({*facts["subject"], *facts["object"]})
    pairs = list(zip(facts["subject"], facts["object"], strict=True))
    found = counted(order, {word: tokens(corpus, word, f" {word}") for word in words}, pairs)
    for step in STEPS:
        expected = below(corpus.truth["fact_exposures"], step, "fact_id").reindex(facts["fact_id"], fill_value=0)
        assert [found.loc[step, found.columns == pair].iloc[0] for pair in pairs] == expected.tolist(), step


def test_occupations_meet_pronouns_of_either_gender_as_the_truth_says(corpus: Corpus, order: RowReader) -> None:
    others = corpus.packed.documents.query("kind != 'occupation'")
    rows = [corpus.packed.rows[d.row, d.offset : d.offset + d.length].tolist() for d in others.itertuples()]
    elsewhere = "\n".join(corpus.tokenizer.decode_batch(rows))
    truth = corpus.truth["occupations"]
    truth = truth[[name not in elsewhere for name in truth["occupation"]]]
    assert len(truth) >= 5, "most occupations' names should stand in planted sentences only"
    sequences = {name: tokens(corpus, f" {name}") for name in truth["occupation"]}
    sequences |= {"feminine": tokens(corpus, *(f" {w}" for w in FEMININE)), "masculine": tokens(corpus, *(f" {w}" for w in MASCULINE))}
    pairs = [(name, gender) for name in truth["occupation"] for gender in ("feminine", "masculine")]
    found = counted(order, sequences, pairs)
    last = dict(zip(found.columns, found.loc[STEPS[-1]], strict=True))
    for row in truth.itertuples():
        assert last[row.occupation] == row.sentences
        assert last[row.occupation, "feminine"] == row.feminine
        assert last[row.occupation, "masculine"] == row.sentences - row.feminine
    for step in STEPS:
        expected = below(corpus.truth["occupation_exposures"], step, "occupation").reindex(truth["occupation"], fill_value=0)
        assert found.loc[step, list(truth["occupation"])].tolist() == expected.tolist(), step


def test_canaries_are_found_where_their_copies_do_not_end_with_a_token_that_is_a_target_only(corpus: Corpus, order: RowReader) -> None:
    canaries, copies = corpus.truth["canaries"], corpus.truth["canary_exposures"]
    length = canaries.set_index("canary_id")["input_ids"].map(len)
    inside = copies[copies["offset"] + copies["canary_id"].map(length) < order.row_tokens]
    found = counted(order, {c.canary_id: [list(c.input_ids)] for c in canaries.itertuples()})
    for step in STEPS:
        assert found.loc[step].tolist() == below(inside, step, "canary_id").reindex(canaries["canary_id"], fill_value=0).tolist(), step
    assert found.loc[STEPS[-1]].sum() > 0
